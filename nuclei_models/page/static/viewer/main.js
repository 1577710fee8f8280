// The viewer: panes that move together, and what is shown in them. Gradio gives element, props, trigger, watch and server.
// props.value is what pictures.render gives; props.bases the image under it; props.mark is {key, label} or null. props.of is
// the key of what the page shows: a value of another key, or of an earlier turn than the one drawn, came too late.
// `server.viewer` answers what needs no event of the page, see desk.py. The other files of this folder are joined to it.

const VIEWS = { side: "Side by side", swipe: "Swipe", agreement: "Agreement", truth: "True mask" };
const PAINTS = { outline: "Outlines", filled: "Filled", probability: "Probability", none: "Image only" };
const KINDS = [null, "#5cc4ff", "#ffb000", "#cc79a7"]; // of the first network: both, only it, split differently
const KINDS_OTHER = [null, null, "#f4ea4a", "#cc79a7"];
const KEPT = "nuclei-mends "; // of the browser's storage, with the image's hash
const BUDGET = 8; // milliseconds a frame for drawing layers anew
const root = element.querySelector(".nm-viewer");

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function button(text, label, action, extra = {}) {
  const node = make("button", { type: "button", class: "nm-tool", "aria-label": label, title: label, ...extra }, text);
  node.addEventListener("click", action);
  return node;
}

class Desk {
  constructor() {
    this.view = { x: 0, y: 0, scale: 0 };
    Object.assign(this, { value: null, tool: "look", radius: 4, swipe: 50, nets: {}, stages: [], layers: new Map(), queue: Promise.resolve() });
    this.look = { view: "side", paint: "outline", opacity: 0.45, white: 99.65, gamma: 1, circles: true };
    this.images = {};
    this.drawn = 0;
    this.tiles = new Tiles((name, column, row) => this.ask("tile", { column, row, ...this.stretch }).then((a) => a.image), () => this.stale());
  }

  get stretch() {
    return { white: this.look.white, gamma: this.look.gamma };
  }

  nuclei(key) {
    return key === "truth" ? this.truth : this.nets[key]?.nuclei;
  }

  async ask(what, more = {}) { // one request to the server; throws an Error with a sentence
    const { of, cut } = this.value;
    const answer = await server.viewer({ what, token: of, cut, ...more });
    if (answer?.error) throw new Error(answer.error);
    return answer;
  }

  // a new value from the page

  take(value) {
    if (value?.width) {
      const { of, turn } = value, last = this.latest;
      if (of !== props.of || (last?.of === of && turn <= last.turn)) return null;
      this.latest = { of, turn };
    } else this.latest = null;
    return this.show(value);
  }

  async show(value) {
    const ticket = (this.ticket = (this.ticket || 0) + 1);
    if (!value || !value.width) {
      Object.assign(this, { value: null, nets: {}, built: "" });
      root.replaceChildren(make("p", { class: "nm-empty" }, "Drop an image into the box, or click an example: both networks' answers appear here."));
      return;
    }
    const packed = [...value.networks.map((n) => n.geometry), ...(value.truth ? [value.truth.geometry] : [])];
    const lists = await Promise.all(packed.map(async (data) => nucleiOf(await unpacked(data), value.width)));
    if (ticket !== this.ticket) return; // a later one came meanwhile
    const before = this.value, same = before && before.image === value.image && before.width === value.width && before.height === value.height;
    const nets = {};
    value.networks.forEach((network, i) => {
      const old = before?.of === value.of ? this.nets[network.key] : null;
      nets[network.key] = { ...network, nuclei: new Nuclei(value.width, value.height, lists[i]), mended: new Set(network.mended),
        doubtful: new Set(), done: old?.done || [], undone: old?.undone || [] };
    });
    this.truth = value.truth ? new Nuclei(value.width, value.height, lists[lists.length - 1]) : null;
    Object.assign(this, { value, nets, agreement: null });
    if (before?.of !== value.of) {
      this.order = [];
      this.tiles.clear();
      this.images = { image: this.images.image };
    }
    if (this.look.view === "truth" && !value.truth) this.look.view = "side";
    if (!value.networks.length) this.choose("look", true);
    if (!same || Number(root.dataset.zoom) < 1.01) this.view.scale = 0; // the whole image stays whole
    this.build();
    if (value.networks.length && before?.of !== value.of) await this.restore();
    this.refresh();
  }

  async takeBases(bases) {
    const data = bases?.image;
    if (!data || data === this.imageData) return;
    this.imageData = data;
    const image = await decoded(data);
    if (this.imageData !== data) return;
    this.images.image = image;
    this.stale();
  }

  // building the panes and tools

  panes() {
    const { value, look } = this;
    if (!value.networks.length) return [[{ key: "", title: "Your image", caption: "", alt: `Image ${value.name}, contrast stretched` }]];
    const how = look.paint === "probability" ? "probability map" : look.paint === "none" ? "not painted" : look.paint;
    const networks = value.networks.map(({ key, title }) => {
      const net = this.nets[key], mended = net.mended.size ? `, ${net.mended.size.toLocaleString("en")} mended` : "";
      const caption = count(net.nuclei.count) + mended;
      return { key, title, caption, alt: `${title}: ${caption}, ${how}`, scores: look.view === "truth" ? net.scores : "" };
    });
    if (look.view === "swipe") return [networks];
    if (look.view === "agreement") {
      const found = this.agreement;
      return [[{ key: "agreement", title: "Agreement", caption: found?.caption || "…", alt: `Agreement of the networks: ${found?.caption || ""}`, legend: found?.legend }]];
    }
    const single = networks.map((pane) => [pane]);
    if (look.view !== "truth") return single;
    const text = count(this.truth.count);
    return [[{ key: "truth", title: "True mask", caption: text, alt: `True mask: ${text}` }], ...single];
  }

  build() {
    const groups = this.panes(), wanted = JSON.stringify([this.value.width, this.value.height, this.value.networks.length, groups.map((g) => g.map((p) => p.key))]);
    if (wanted !== this.built) {
      this.built = wanted;
      this.watcher?.disconnect();
      this.stages = [];
      const figures = groups.map((group) => this.figure(group));
      this.status = make("p", { class: "nm-said", role: "status", "aria-live": "polite" });
      root.replaceChildren(...(this.value.networks.length ? [this.lookBar(), this.toolBar(), this.status] : [this.status]),
        make("div", { class: `nm-panes nm-${groups.length}` }, ...figures), this.zoomBar());
      this.watcher = new ResizeObserver(() => this.stale());
      this.stages.forEach((stage) => this.watcher.observe(stage.node));
    }
    this.caption(groups);
  }

  figure(group) {
    const { value } = this, canvas = make("canvas", { "aria-hidden": "true" });
    const tip = make("div", { class: "nm-tip", hidden: "" });
    const node = make("div", { class: "nm-stage", tabindex: "0", role: "application", "aria-roledescription": "picture", "data-keys": group.map((p) => p.key).join(" ") }, canvas, tip);
    node.style.setProperty("--aspect", value.width / value.height);
    const stage = { node, canvas, tip, context: canvas.getContext("2d", { alpha: false }), sides: group };
    stage.hand = new Hand(stage, this);
    this.stages.push(stage);
    const figure = make("figure", { class: "nm-pane" }, make("figcaption", { class: "nm-head" }), node);
    figure.style.setProperty("--aspect", value.width / value.height);
    if (group.length > 1) {
      const range = make("input", { type: "range", min: 0, max: 100, value: this.swipe, step: 1, class: "nm-swipe",
        "aria-label": `Swipe between ${group[0].title} and ${group[1].title}` });
      range.addEventListener("input", () => { this.swipe = Number(range.value); this.redraw(); });
      figure.append(range);
    }
    figure.append(make("div", { class: "nm-scores" }), make("div", { class: "nm-legend" }));
    return figure;
  }

  caption(groups) {
    const figures = [...root.querySelectorAll(".nm-pane")];
    groups.forEach((group, i) => {
      const figure = figures[i], stage = this.stages[i];
      stage.sides = group;
      figure.querySelector(".nm-head").replaceChildren(...group.map((pane) =>
        make("span", { class: "nm-title" }, make("b", {}, pane.title), " ", make("span", {}, pane.caption))));
      stage.node.setAttribute("aria-label", `${group.map((pane) => pane.alt).join("; ")}. Plus, minus and 0 zoom, arrow keys move, full stop and comma go from nucleus to nucleus.`);
      figure.querySelector(".nm-scores").textContent = group.map((pane) => pane.scores || "").join(" ");
      figure.querySelector(".nm-legend").replaceChildren(...(group[0].legend || []).map((entry) => {
        const patch = make("i", { "aria-hidden": "true" });
        patch.style.background = entry.colour;
        return make("span", {}, patch, entry.text);
      }));
    });
  }

  radios(title, name, choices, chosen, choose) {
    const set = make("fieldset", { class: "nm-radios" }, make("legend", {}, title));
    for (const [value, text] of Object.entries(choices)) {
      const input = make("input", { type: "radio", name: `nm-${name}`, value });
      input.checked = value === chosen;
      input.addEventListener("change", () => choose(value));
      set.append(make("label", {}, input, make("span", {}, text)));
    }
    return set;
  }

  lookBar() {
    const views = Object.fromEntries(Object.entries(VIEWS).filter(([key]) => key !== "truth" || this.value.truth));
    const details = make("details", { class: "nm-look" }, make("summary", {}, "Contrast and fill"));
    const slide = (text, name, min, max, step, then) => {
      const input = make("input", { type: "range", min, max, step, value: this.look[name], id: `nm-${name}` });
      const said = make("output", {}, String(this.look[name]));
      input.addEventListener("input", () => { this.look[name] = Number(input.value); said.textContent = input.value; then(); });
      details.append(make("label", {}, text, input, said));
    };
    slide("Opacity of the fill", "opacity", 0, 1, 0.05, () => this.stale());
    slide("White at percentile", "white", 90, 100, 0.05, () => this.restretch());
    slide("Gamma (low: brighter)", "gamma", 0.3, 2, 0.05, () => this.restretch());
    const circles = make("input", { type: "checkbox" });
    circles.checked = this.look.circles;
    circles.addEventListener("change", () => { this.look.circles = circles.checked; this.redraw(); });
    details.append(make("label", {}, circles, "Diameters as circles"));
    details.open = Boolean(this.lookOpen);
    details.addEventListener("toggle", () => { this.lookOpen = details.open; });
    return make("div", { class: "nm-bar" },
      this.radios("Compare", "view", views, this.look.view, (view) => { this.look.view = view; this.refresh(); }),
      this.radios("Show", "paint", PAINTS, this.look.paint, (paint) => { this.look.paint = paint; this.refresh(); }), details);
  }

  toolBar() {
    const tools = TOOLS.map((tool) => button(make("span", {}, tool.label), `${tool.label}: ${tool.help} Key ${tool.key.toUpperCase()}.`,
      () => this.choose(tool.name), { "data-tool": tool.name, "aria-pressed": String(this.tool === tool.name), "aria-keyshortcuts": tool.key }));
    tools.forEach((node, i) => node.append(make("kbd", { "aria-hidden": "true" }, TOOLS[i].key.toUpperCase())));
    const size = make("input", { type: "range", min: 1, max: 40, step: 0.5, value: this.radius, "aria-label": "Radius of the brush, pixels" });
    size.addEventListener("input", () => { this.radius = Number(size.value); });
    this.size = make("label", { class: "nm-size" }, "Brush ", size);
    this.undoButton = button("↶ Undo", "Undo. Keys Ctrl+Z.", () => this.undo(), { "data-act": "undo" });
    this.redoButton = button("↷", "Redo. Keys Ctrl+Shift+Z.", () => this.redo(), { "data-act": "redo" });
    const clear = button("Clear", "Undo all mending of this image and forget it", () => this.clear(), { "data-act": "clear" });
    this.clearButton = clear;
    const help = make("details", { class: "nm-keys" }, make("summary", {}, "Keys"), make("dl", {}, ...[
      ...TOOLS.map((tool) => [tool.key.toUpperCase(), `${tool.label}. ${tool.help}`]),
      ["Ctrl+Z, Ctrl+Shift+Z", "Undo, redo."], ["+ − 0", "Zoom in, out, whole picture. Or click the picture and turn the wheel; or pinch."],
      ["Arrows", "Move the picture; with a tool, the cross (Shift: one pixel)."], [". ,", "To the next nucleus, the one before."],
      ["Space, Enter", "With a tool: Space sets a point of a line, Enter ends it; Enter alone acts at the cross."],
      ["[ ]", "Size of the brush."], ["Esc", "Drop the line; back to Look."],
    ].flatMap(([keys, text]) => [make("dt", {}, keys), make("dd", {}, text)])));
    return make("div", { class: "nm-bar nm-mend", role: "toolbar", "aria-label": "Mending" },
      ...tools, this.size, this.undoButton, this.redoButton, clear, help);
  }

  zoomBar() {
    return make("div", { class: "nm-tools" },
      button("−", "Zoom out", () => this.zoomBy(1 / 1.5)), button("+", "Zoom in", () => this.zoomBy(1.5)),
      button("Fit", "Show the whole image", () => this.fit()),
      button("Full screen", "Full screen", () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen())));
  }

  choose(name, quiet = false) {
    this.tool = name;
    root.querySelectorAll("[data-tool]").forEach((node) => node.setAttribute("aria-pressed", String(node.dataset.tool === name)));
    root.dataset.tool = name;
    if (!quiet) this.say(TOOLS.find((tool) => tool.name === name).help);
    this.redraw();
  }

  resize(by) {
    this.radius = Math.min(Math.max(this.radius + by, 1), 40);
    this.size.querySelector("input").value = this.radius;
  }

  say(text) {
    if (this.status) this.status.textContent = text;
  }

  // where things are

  size0() {
    const node = this.stages[0].node;
    return { w: node.clientWidth, h: node.clientHeight };
  }

  fitScale() {
    const { w, h } = this.size0();
    return Math.min(w / this.value.width, h / this.value.height) || 1;
  }

  settle() { // the view within its bounds
    const { value, view } = this, { w, h } = this.size0(), least = this.fitScale();
    if (!view.scale) Object.assign(view, { x: value.width / 2, y: value.height / 2, scale: least });
    view.scale = Math.min(Math.max(view.scale, least), Math.max(48, 4 * least));
    for (const [axis, length, shown] of [["x", value.width, w], ["y", value.height, h]]) {
      const half = shown / view.scale / 2;
      view[axis] = 2 * half >= length ? length / 2 : Math.min(Math.max(view[axis], half), length - half);
    }
    const whole = view.scale <= least * 1.001;
    for (const { node } of this.stages) node.style.touchAction = this.tool === "look" && whole ? "pan-y" : "none";
    root.dataset.zoom = (view.scale / least).toFixed(3);
  }

  toImage(stage, [x, y]) {
    const { w, h } = this.size0();
    return [this.view.x + (x - w / 2) / this.view.scale, this.view.y + (y - h / 2) / this.view.scale];
  }

  toStage(stage, [x, y]) {
    const { w, h } = this.size0();
    return [w / 2 + (x - this.view.x) * this.view.scale, h / 2 + (y - this.view.y) * this.view.scale];
  }

  within([x, y]) {
    return [Math.min(Math.max(x, 0.5), this.value.width - 0.5), Math.min(Math.max(y, 0.5), this.value.height - 0.5)];
  }

  sideAt(stage, [x]) {
    const { sides, node } = stage;
    return sides.length > 1 && (100 * x) / node.clientWidth > this.swipe ? sides[1] : sides[0].key === "truth" || sides[0].key === "agreement" ? null : sides[0];
  }

  zoomBy(factor, stage = null, at = null) {
    if (!this.value) return;
    const { w, h } = this.size0(), [x, y] = at || [w / 2, h / 2], still = this.toImage(stage, [x, y]);
    this.view.scale *= factor;
    this.settle();
    this.view.x = still[0] - (x - w / 2) / this.view.scale;
    this.view.y = still[1] - (y - h / 2) / this.view.scale;
    this.redraw();
  }

  moveBy(dx, dy) {
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    this.redraw();
  }

  fit() {
    this.view.scale = 0;
    this.redraw();
  }

  reveal(stage, spot) {
    const { w, h } = this.size0(), [x, y] = this.toStage(stage, spot);
    if (x < 30 || y < 30 || x > w - 30 || y > h - 30) [this.view.x, this.view.y] = spot;
    this.redraw();
  }

  // drawing

  refresh() { // after a change of what is shown
    if (Number(root.dataset.zoom) < 1.01) this.view.scale = 0;
    this.build();
    const { look } = this;
    if (look.view === "agreement" && !this.agreement && this.value.networks.length) this.agree();
    if (look.paint === "probability") this.value.networks.forEach(({ key }) => this.probability(key));
    const mending = this.value.networks.length && look.view !== "agreement";
    root.querySelectorAll("[data-tool]").forEach((node) => { node.disabled = !mending && !["look", "measure"].includes(node.dataset.tool); });
    this.stale();
    this.marked();
  }

  stale() {
    for (const layer of this.layers.values()) layer.stale();
    this.redraw();
  }

  patch(box, key) { // nuclei in a box have changed
    for (const [of, layer] of this.layers) if (of === key) layer.patch(box, (own, region) => this.paint(own, region, key));
    this.redraw();
  }

  redraw() {
    this.frame ||= requestAnimationFrame((now) => {
      this.frame = 0;
      if (this.value && this.stages.length && this.size0().w) this.draw(now);
    });
  }

  draw(now) {
    this.settle();
    const ratio = Math.min(window.devicePixelRatio || 1, 3), deadline = performance.now() + BUDGET;
    let whole = true;
    for (const stage of this.stages) {
      const size = this.size0(), { context, canvas } = stage;
      const width = Math.round(size.w * ratio), height = Math.round(size.h * ratio);
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      stage.sides.forEach((pane, i) => {
        const cut = i ? Math.round((width * this.swipe) / 100) : 0;
        context.save();
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.beginPath();
        context.rect(cut, 0, width - cut, height);
        context.clip();
        if (!this.layers.has(pane.key)) this.layers.set(pane.key, new Layer());
        whole = this.layers.get(pane.key).show(context, this.view, size, ratio, (own, region) => this.paint(own, region, pane.key), now, deadline) && whole;
        context.restore();
      });
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      if (stage.sides.length > 1) {
        const line = new Path2D(), x = (size.w * this.swipe) / 100;
        line.moveTo(x, 0);
        line.lineTo(x, size.h);
        strokeTwice(context, line, "#ffffff", 1.5);
      }
      if (this.look.circles) this.circles(context, size);
      stage.hand.preview(context);
    }
    this.placeMarks();
    if (whole) Object.assign(root.dataset, { drawn: ++this.drawn, turn: this.value.turn });
    else this.redraw();
  }

  *paint(context, region, key) {
    const { look } = this, map = look.paint === "probability" && key in this.nets ? this.images[`probability ${key}`] : null;
    const base = map || this.images.image;
    if (base) paintBase(context, region, base, this.value, map || !this.value.networks.length ? null : this.tiles, "image");
    if (key === "agreement" && this.agreement) {
      const [a, b] = this.value.networks.map((n) => n.key), fill = Math.max(look.opacity, 0.3);
      const style = (kinds, colours) => ({ number }) => ({ fill: colours[kinds[number] || 0], stroke: colours[kinds[number] || 0] });
      yield* paintNuclei(context, region, this.nets[a].nuclei, style(this.agreement.kinds[0], KINDS), fill);
      yield* paintNuclei(context, region, this.nets[b].nuclei, style(this.agreement.kinds[1], KINDS_OTHER), fill);
    } else if (this.nuclei(key) && (look.paint === "outline" || look.paint === "filled")) {
      const net = this.nets[key];
      yield* paintNuclei(context, region, this.nuclei(key), ({ number }) => {
        const mended = net?.mended.has(number), colour = BRIGHT[(number * 5) % BRIGHT.length];
        return { fill: look.paint === "filled" ? colour : null, stroke: mended ? MENDED : colour, dashed: net?.doubtful.has(number) };
      }, look.opacity);
    }
  }

  circles(context, size) { // the assumed and the found diameter, in the lower left corner
    const given = Object.entries(this.value.diameters || {}).filter(([, d]) => d);
    let x = 12;
    for (const [name, diameter] of given) {
      const r = (diameter * this.view.scale) / 2;
      if (2 * r > size.h / 3 || x + 2 * r > size.w - 12) break;
      const ring = new Path2D();
      ring.arc(x + r, size.h - 28 - r, r, 0, 7);
      strokeTwice(context, ring, name === "found" ? "#2fe6a8" : "#ffffff");
      context.font = "12px system-ui, sans-serif";
      context.lineWidth = 3;
      context.strokeStyle = DARK;
      const text = `${name} ${Math.round(diameter)} px`;
      context.strokeText(text, x, size.h - 12);
      context.fillStyle = name === "found" ? "#2fe6a8" : "#ffffff";
      context.fillText(text, x, size.h - 12);
      x += Math.max(2 * r, context.measureText(text).width) + 14;
    }
  }

  // pictures that the server makes

  restretch() {
    clearTimeout(this.later);
    this.later = setTimeout(async () => {
      if (!this.value.networks.length) return;
      const answer = await this.ask("image", this.stretch).catch((error) => this.say(error.message));
      if (!answer) return;
      this.tiles.clear();
      this.takeBases(answer);
    }, 60);
  }

  async probability(key) {
    const name = `probability ${key}`, { of } = this.value;
    if (this.images[name]) return;
    const answer = await this.ask("probability", { network: key }).catch((error) => this.say(error.message));
    if (!answer || this.value?.of !== of) return;
    this.images[name] = await decoded(answer.image);
    this.stale();
  }

  async agree() {
    const { value } = this, answer = await this.ask("agreement").catch((error) => this.say(error.message));
    if (!answer || this.value !== value) return;
    this.agreement = answer;
    this.build();
    this.stale();
  }

  // picking

  pick(side, [x, y]) {
    if (side?.key) trigger("select", { key: side.key, x, y });
  }

  numbered() { // the table of nuclei has new numbers
    for (const [key, net] of Object.entries(this.nets)) net.doubtful = new Set(window.nuclei?.doubtful(key) || []);
    this.stale();
  }

  hovered(stage, at) {
    const side = at && this.sideAt(stage, at), net = side && this.nets[side.key];
    const nucleus = net?.nuclei.at(...this.toImage(stage, at)), { tip } = stage;
    tip.hidden = !nucleus;
    if (!nucleus) return;
    const row = window.nuclei?.about(side.key, nucleus.number);
    tip.textContent = [`${net.title} ${nucleus.number}`, ...(row || [`area ${nucleus.area.toLocaleString("en")} px`]), ...(net.mended.has(nucleus.number) ? ["mended"] : []),
      ...(net.doubtful.has(nucleus.number) ? ["doubtful"] : [])].join(" · ");
    const left = at[0] > stage.node.clientWidth / 2;
    Object.assign(tip.style, { top: `${at[1] + 14}px`, left: left ? "" : `${at[0] + 14}px`, right: left ? `${stage.node.clientWidth - at[0] + 10}px` : "" });
  }

  marked() {
    root.querySelectorAll(".nm-mark").forEach((node) => node.remove());
    const nucleus = props.mark && this.nets[props.mark.key]?.nuclei.byNumber.get(props.mark.label);
    if (!nucleus) return;
    for (const { node } of this.stages) node.append(make("div", { class: "nm-mark", "data-label": nucleus.number }));
    this.redraw();
  }

  placeMarks() {
    const marks = root.querySelectorAll(".nm-mark");
    const nucleus = marks.length && this.nets[props.mark?.key]?.nuclei.byNumber.get(props.mark.label);
    if (!nucleus) return marks.forEach((node) => node.remove());
    const { x0, y0, w, h } = nucleus, pad = 0.3 * Math.max(w, h) + 2;
    const [left, top] = this.toStage(null, [x0 - pad, y0 - pad]), [right, bottom] = this.toStage(null, [x0 + w + pad, y0 + h + pad]);
    marks.forEach((node) => Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` }));
  }

  showMark() { // one that was picked in the table comes into view
    this.marked();
    const nucleus = props.mark && this.nets[props.mark.key]?.nuclei.byNumber.get(props.mark.label);
    if (nucleus) this.reveal(null, [nucleus.x0 + nucleus.w / 2, nucleus.y0 + nucleus.h / 2]);
  }

  measured(a, b) {
    const diameter = Math.round(Math.hypot(a[0] - b[0], a[1] - b[1]) * 10) / 10;
    if (diameter < 2) return this.say("Draw a line across one nucleus, from edge to edge.");
    this.say(`Typical nuclear diameter set to ${diameter} pixels. Press Segment to run the networks with it.`);
    trigger("submit", { diameter });
  }
}

function count(n) {
  return n === 1 ? "1 nucleus" : `${n.toLocaleString("en")} nuclei`;
}
