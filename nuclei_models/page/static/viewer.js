// The picture viewer: panes that zoom and move together, swiping, and picking a nucleus.
// Gradio gives element, props, trigger and watch. props.value is what pictures.render returns; props.bases the images
// under it, by name; props.mark is {key, label, box: [x0, y0, x1, y1]} or null, in pixels of the image. props.of is the
// key of what the page shows: a value of another key, or of an earlier turn than the one that is drawn, came too late.

const root = element.querySelector(".nm-viewer");
const at = { zoom: 1, x: 0, y: 0 }; // x, y: the stage's top left corner, as a share of the picture
let swipe = 50; // percent
let built = ""; // what the panes were built for
let seen = null; // the last value that came in time

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function button(text, label, action) {
  const node = make("button", { type: "button", class: "nm-tool", "aria-label": label, title: label }, text);
  node.addEventListener("click", action);
  return node;
}

function place() {
  at.zoom = Math.min(Math.max(at.zoom, 1), 32);
  at.x = Math.min(Math.max(at.x, 0), 1 - 1 / at.zoom);
  at.y = Math.min(Math.max(at.y, 0), 1 - 1 / at.zoom);
  for (const layer of root.querySelectorAll(".nm-layer")) {
    layer.style.transform = `scale(${at.zoom}) translate(${-100 * at.x}%, ${-100 * at.y}%)`;
    layer.style.setProperty("--zoom", at.zoom);
  }
  for (const over of root.querySelectorAll(".nm-over")) over.style.clipPath = `inset(0 0 0 ${swipe}%)`;
  for (const line of root.querySelectorAll(".nm-line")) line.style.left = `${swipe}%`;
}

function zoomTo(zoom, u = 0.5, v = 0.5) { // u, v: the point of the stage that stays, as shares
  const px = at.x + u / at.zoom, py = at.y + v / at.zoom;
  at.zoom = Math.min(Math.max(zoom, 1), 32);
  at.x = px - u / at.zoom;
  at.y = py - v / at.zoom;
  place();
}

function share(stage, event) {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function pick(stage, event) {
  const [u, v] = share(stage, event), value = seen;
  const keys = stage.dataset.keys.split(" ");
  const key = keys.length > 1 && 100 * u > swipe ? keys[1] : keys[0];
  if (!key) return;
  trigger("select", { key, x: (at.x + u / at.zoom) * value.width, y: (at.y + v / at.zoom) * value.height });
}

function listen(stage) {
  let from = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = { x: event.clientX, y: event.clientY, atX: at.x, atY: at.y, moved: false };
    if (at.zoom > 1) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    const box = stage.getBoundingClientRect();
    const dx = event.clientX - from.x, dy = event.clientY - from.y;
    from.moved ||= Math.hypot(dx, dy) > 4;
    if (!from.moved || at.zoom === 1) return;
    at.x = from.atX - dx / box.width / at.zoom;
    at.y = from.atY - dy / box.height / at.zoom;
    place();
  });
  stage.addEventListener("pointerup", (event) => {
    if (from && !from.moved) pick(stage, event);
    from = null;
  });
  stage.addEventListener("pointercancel", () => (from = null));
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    zoomTo(at.zoom * Math.exp(-event.deltaY / 300), ...share(stage, event));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => zoomTo(at.zoom * 2, ...share(stage, event)));
  stage.addEventListener("keydown", (event) => {
    const step = 0.1 / at.zoom;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key === "+" || event.key === "=") zoomTo(at.zoom * 1.5);
    else if (event.key === "-") zoomTo(at.zoom / 1.5);
    else if (event.key === "0") zoomTo(1);
    else if (at.zoom > 1 && moves[event.key]) {
      at.x += moves[event.key][0];
      at.y += moves[event.key][1];
      place();
    } else return;
    event.preventDefault();
  });
}

function stageFor(panes, value) {
  const stage = make("div", { class: "nm-stage", tabindex: "0", role: "group", "data-keys": panes.map((p) => p.key).join(" ") });
  stage.style.aspectRatio = `${value.width} / ${value.height}`;
  panes.forEach((pane, i) => {
    const layer = make("div", { class: "nm-layer" }, make("img", { draggable: "false", class: "nm-base" }),
      make("img", { draggable: "false", class: "nm-overlay", alt: "", role: "presentation" }));
    stage.append(make("div", { class: i ? "nm-clip nm-over" : "nm-clip" }, layer));
  });
  if (panes.length > 1) stage.append(make("div", { class: "nm-line", "aria-hidden": "true" }));
  listen(stage);
  return stage;
}

function figureFor(panes, value) {
  const head = make("figcaption", { class: "nm-head" });
  const figure = make("figure", { class: "nm-pane" }, head, stageFor(panes, value));
  figure.style.setProperty("--aspect", value.width / value.height);
  if (panes.length > 1) {
    const range = make("input", { type: "range", min: 0, max: 100, value: swipe, step: 1, class: "nm-swipe",
      "aria-label": `Swipe between ${panes[0].title} and ${panes[1].title}` });
    range.addEventListener("input", () => { swipe = Number(range.value); place(); });
    figure.append(range);
  }
  figure.append(make("div", { class: "nm-scores" }), make("div", { class: "nm-legend" }));
  return figure;
}

function build(value) {
  const groups = value.view === "swipe" ? [value.panes] : value.panes.map((pane) => [pane]);
  const tools = make("div", { class: "nm-tools" },
    button("−", "Zoom out", () => zoomTo(at.zoom / 1.5)),
    button("+", "Zoom in", () => zoomTo(at.zoom * 1.5)),
    button("Fit", "Show the whole image", () => zoomTo(1)),
    button("Full screen", "Full screen", () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen())));
  const panes = make("div", { class: `nm-panes nm-${groups.length}` }, ...groups.map((group) => figureFor(group, value)));
  root.replaceChildren(panes, tools);
}

function fill(value) {
  const heads = [...root.querySelectorAll(".nm-head")];
  const images = [...root.querySelectorAll(".nm-base")], overlays = [...root.querySelectorAll(".nm-overlay")];
  value.panes.forEach((pane, i) => {
    const base = props.bases?.[pane.base]; // on its way, if it isn't there
    if (base && images[i].src !== base) images[i].src = base;
    images[i].alt = pane.alt;
    overlays[i].hidden = !pane.overlay;
    if (pane.overlay) overlays[i].src = pane.overlay;
    const head = make("span", { class: "nm-title" }, make("b", {}, pane.title), " ", make("span", {}, pane.caption));
    const holder = heads[Math.min(i, heads.length - 1)];
    if (i < heads.length) holder.replaceChildren(head); else holder.append(head);
    const figure = holder.parentElement;
    figure.querySelector(".nm-stage").setAttribute("aria-label",
      `${pane.title}. Click a nucleus to measure it; plus, minus and arrow keys zoom and move.`);
    figure.querySelector(".nm-scores").textContent = pane.scores || "";
    figure.querySelector(".nm-legend").replaceChildren(...(pane.legend || []).map((entry) => {
      const patch = make("i", { "aria-hidden": "true" });
      patch.style.background = entry.colour;
      return make("span", {}, patch, entry.text);
    }));
  });
}

function mark() {
  root.querySelectorAll(".nm-mark").forEach((node) => node.remove());
  const value = seen, marked = props.mark;
  if (!marked || !value) return;
  const [x0, y0, x1, y1] = marked.box, pad = 0.3 * Math.max(x1 - x0, y1 - y0) + 2;
  for (const layer of root.querySelectorAll(".nm-layer")) {
    const node = make("div", { class: "nm-mark", "data-label": marked.label });
    node.style.left = `${(100 * (x0 - pad)) / value.width}%`;
    node.style.top = `${(100 * (y0 - pad)) / value.height}%`;
    node.style.width = `${(100 * (x1 - x0 + 2 * pad)) / value.width}%`;
    node.style.height = `${(100 * (y1 - y0 + 2 * pad)) / value.height}%`;
    layer.append(node);
  }
}

function show() {
  const value = props.value;
  if (!value || !value.panes) {
    root.replaceChildren(make("p", { class: "nm-empty" }, "Drop an image into the box, or click an example: both networks' answers appear here."));
    built = "";
    seen = null;
    return;
  }
  const inTime = value.of === props.of && !(seen && seen.of === value.of && value.turn < seen.turn);
  if (inTime) seen = value;
  if (seen && seen.of === props.of) draw(seen);
}

function draw(value) {
  const wanted = [value.view, value.width, value.height, ...value.panes.map((pane) => pane.key + pane.title)].join("|");
  if (wanted !== built) {
    const [, width, height] = built.split("|");
    if (Number(width) !== value.width || Number(height) !== value.height) Object.assign(at, { zoom: 1, x: 0, y: 0 });
    build(value);
    built = wanted;
  }
  fill(value);
  mark();
  place();
}

watch("value", show);
watch("bases", show);
watch("of", show);
watch("mark", mark);
show();
