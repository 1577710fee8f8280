// Several images: thumbnails with counts. Gradio gives element, props, trigger, watch and server. props.value is what
// several.strip gives, props.thumbs the pictures. A click opens an image. What this browser kept of an image's mends is
// repeated on the server when its result comes, so that counts and files hold it before the image is opened.

const list = element.querySelector(".nm-strip");
const restored = new Set(); // results whose kept mends have been sent
let at = 0;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function said(item, i, running) {
  if (item.error) return ["failed", "failed"];
  if (item.counts.length) return ["done", item.counts.map((n) => n.toLocaleString("en")).join(" · ")];
  return i === running ? ["running", "running …"] : ["waiting", "–"];
}

function card(item, i, value) {
  const [state, text] = said(item, i, value.running), doubt = item.error || item.doubt;
  const label = [`${i + 1}. ${item.name}`, state === "done" ? `${text} nuclei by ${value.titles.join(" and ")}` : state, doubt].filter(Boolean).join(": ");
  const node = make("button", { type: "button", class: "nm-card", "data-index": i, "data-state": state, "aria-label": label, title: label,
    "aria-current": i === at ? "true" : null }, make("img", { src: props.thumbs[i], alt: "" }), make("span", { class: "nm-name" }, item.name.split("/").pop()),
  make("span", { class: "nm-count" }, text, doubt ? make("b", { "aria-hidden": "true" }, " ⚠") : ""));
  node.addEventListener("click", () => {
    at = i;
    list.querySelectorAll(".nm-card").forEach((other, j) => (j === at ? other.setAttribute("aria-current", "true") : other.removeAttribute("aria-current")));
    trigger("select", { index: i });
  });
  node.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    list.querySelectorAll(".nm-card")[(i + by + value.items.length) % value.items.length].focus();
  });
  return node;
}

function draw() {
  const { value } = props, focused = document.activeElement?.closest?.(".nm-card")?.dataset.index, scrolled = list.querySelector(".nm-cards")?.scrollLeft || 0;
  if (!value?.items) return list.replaceChildren();
  if (typeof value.at === "number" && value !== draw.last) at = value.at;
  draw.last = value;
  const n = value.items.length, ready = value.items.filter((item) => item.counts.length || item.error).length;
  const cards = make("div", { class: "nm-cards", role: "group", "aria-label": "Images" }, ...value.items.map((item, i) => card(item, i, value)));
  const total = [0, 1].map((k) => value.items.reduce((sum, item) => sum + (item.counts[k] || 0), 0).toLocaleString("en"));
  const head = make("div", { class: "nm-strip-head" }, make("b", {}, n === 1 ? "1 image" : `${n} images`),
    make("span", { role: "status" }, ready ? `${ready} done: ${total.map((n, k) => `${n} nuclei by ${value.titles[k] ?? ""}`).join(", ")}` : "not segmented yet"));
  if (typeof value.running === "number" && value.running < n) head.append(make("progress", { max: n, value: value.running, "aria-label": "Images done" }));
  list.replaceChildren(head, cards);
  if (value.refused.length) {
    list.append(make("details", { class: "nm-refused" }, make("summary", {}, value.refused.length === 1 ? "1 file was not taken" : `${value.refused.length} files were not taken`),
      make("ul", {}, ...value.refused.map(([name, why]) => make("li", {}, make("b", {}, name), `: ${why}`)))));
  }
  cards.scrollLeft = scrolled;
  if (focused !== undefined) list.querySelectorAll(".nm-card")[focused]?.focus();
  restore(value);
}

async function restore({ of, cut, items }) {
  let changed = false;
  for (const { token, image } of items) {
    if (!token || restored.has(token)) continue;
    restored.add(token);
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(`nuclei-mends ${image}`));
    } catch { /* nothing of ours */ }
    for (const [network, { done = [], undone = [] }] of Object.entries(kept?.nets || {})) {
      for (let i = 0; i < done.length; i += 300) {
        const last = i + 300 >= done.length;
        await server.viewer({ what: "repeat", token: `${of}/${token}`, cut, network, first: i === 0, done: done.slice(i, i + 300), undone: last ? undone : [] }).catch(() => null);
        changed = true;
      }
    }
  }
  if (changed) trigger("edit", {});
}

watch("value", draw);
watch("thumbs", draw);
draw();
