// The viewer: panes that move together, and what is shown in them. Gradio gives element, props, trigger, watch and server.
// props.value is what pictures.render gives; props.bases the image under it; props.mark is {key, label, of, cut} or null. props.of is
// the key of what the page shows: a value of another key, or of an earlier turn than the one drawn, came too late.
// `server.viewer` answers what needs no event of the page, see desk.py. The other files of this folder are joined to it.

const VIEWS = { side: "Side by side", swipe: "Swipe", agreement: "Agreement", truth: "True mask" };
const PAINTS = { outline: "Outlines", filled: "Filled", probability: "Probability", none: "Image only" };
const KINDS = [null, "#5cc4ff", "#ffb000", "#cc79a7"]; // of the first network: both, only it, split differently
const KINDS_OTHER = [null, null, "#f4ea4a", "#cc79a7"];
const KEPT = "nuclei-mends "; // of the browser's storage, with the image's hash
const BUDGET = { moving: 8, still: 60 }; // milliseconds a frame for drawing layers anew
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
    Object.assign(this, { value: null, tool: "look", radius: 4, swipe: 50, nets: {}, stages: [], layers: new Map(), queue: Promise.resolve(), version: 0 });
    this.look = { view: "side", paint: "outline", opacity: 0.45, white: 99.65, gamma: 1, circles: true };
    this.images = {};
    this.drawn = 0;
    this.tiles = new Tiles((name, column, row) => this.ask("tile", { column, row, ...this.stretch }).then((a) => a.image),
      (x, y) => this.layers.forEach((_, key) => this.patch({ x0: x, y0: y, x1: x + TILE, y1: y + TILE }, key)));
  }

  get stretch() {
    return { white: this.look.white, gamma: this.look.gamma };
  }

  nuclei(key) {
    return key === "truth" ? this.truth : this.nets[key]?.nuclei;
  }

  async ask(what, more = {}) { // one request to the server; throws an Error with a sentence
    const { of, cut } = this.value;
    const answer = await server.viewer({ what, token: of, cut, ...more }).catch(() => null);
    if (!answer) throw new Error("The server can't be reached: that was not done. What you did before is kept in this browser.");
    if (answer.error) throw new Error(answer.error);
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
    for (const [key, net] of Object.entries(nets)) net.doubtful = new Set(this.doubted(key));
    if (before?.of !== value.of) {
      this.order = [];
      this.version = value.version || 0;
      this.tiles.clear();
      this.images = { image: this.images.image };
    }
    if (this.look.view === "truth" && !value.truth) this.look.view = "side";
    if (!value.networks.length) this.choose("look", true);
    if (!same || Number(root.dataset.zoom) < 1.01) this.view.scale = 0; // the whole image stays whole
    this.build();
    if (value.networks.length && before?.of !== value.of) await (this.restoring = this.restore());
    else if (value.version < this.version) await (this.restoring = this.again()); // drawn before the last mend
    this.refresh();
    this.follow();
  }

  // the sliders: the nuclei follow, one request after the other, and the last position counts

  slide(sliders) {
    this.sliders = sliders;
    if (this.value?.networks.length) this.follow();
    else this.edited(); // the strip has counts of other images
  }

  get isBehind() { // whether the nuclei that are drawn were cut at other values than the sliders have now
    const { value, sliders } = this;
    return Boolean(sliders && value?.networks.length && value.of === props.of && sliders.some((one, i) => one !== value.cut[i]));
  }

  async follow() {
    if (this.following || !this.isBehind) return;
    this.following = true;
    try {
      while (this.isBehind) {
        const { sliders, value: { of } } = this, turn = (window.nmNumber = (window.nmNumber || 0) + 1);
        const answer = await this.ask("nuclei", { cut: sliders });
        if (this.value?.of !== of || props.of !== of) continue; // another image by now
        this.latest = { of, turn };
        await this.show({ ...this.value, ...answer, cut: sliders, turn });
        this.drawNow();
      }
    } catch (error) {
      this.say(error.message);
    } finally {
      this.following = false;
    }
    this.edited();
  }

  get picked() { // the nucleus that is marked; of nuclei cut at other values the number is another one's
    const { mark } = props, { of, cut } = this.value || {};
    return mark && mark.of === of && mark.cut.every((one, i) => one === cut[i]) && this.nets[mark.key]?.nuclei.byNumber.get(mark.label);
  }

  async takeBases(bases) {
    const data = bases?.image;
    if (!data || data === this.imageData) return;
    this.imageData = data;
    const image = await decoded(data);
    if (this.imageData !== data) return;
    this.images.image = halved(image);
    this.stale();
  }

  // picking

  pick(side, [x, y]) {
    if (side?.key) trigger("select", { key: side.key, x, y });
  }

  get isCounted() { // whether the table is of the nuclei that are drawn
    const { table, value } = this;
    return Boolean(table && value && table.of === value.of && table.cut.every((one, i) => one === value.cut[i]));
  }

  rows(key) {
    if (!this.isCounted) return [];
    return this.table?.networks.find((network) => network.key === key)?.rows || [];
  }

  about(key, label) { // what the table says of a nucleus
    const row = this.rows(key).find((cells) => cells[0] === label);
    return row && this.table.columns.slice(1).map((column, i) => `${column} ${row[i + 1] === null ? "–" : Number(row[i + 1].toPrecision(4)).toLocaleString("en")}`);
  }

  doubted(key) {
    const i = this.table?.columns.indexOf("confidence") ?? -1;
    return i < 0 ? [] : this.rows(key).filter((row) => row[i] < this.table.doubtful).map((row) => row[0]);
  }

  numbered() { // the table of nuclei has new numbers
    this.table = props.numbers ? JSON.parse(props.numbers) : null;
    for (const [key, net] of Object.entries(this.nets)) net.doubtful = new Set(this.doubted(key));
    if (this.stages.length && this.value?.networks.length) this.caption(this.panes());
    this.stale();
  }

  hovered(stage, at) {
    const side = at && this.sideAt(stage, at), net = side && this.nets[side.key];
    const nucleus = net?.nuclei.at(...this.toImage(stage, at)), { tip } = stage;
    tip.hidden = !nucleus;
    if (!nucleus) return;
    const row = this.about(side.key, nucleus.number);
    tip.textContent = [`${net.title} ${nucleus.number}`, ...(row || [`area ${nucleus.area.toLocaleString("en")} px`]), ...(net.mended.has(nucleus.number) ? ["mended"] : []),
      ...(net.doubtful.has(nucleus.number) ? ["doubtful"] : [])].join(" · ");
    const left = at[0] > stage.node.clientWidth / 2;
    Object.assign(tip.style, { top: `${at[1] + 14}px`, left: left ? "" : `${at[0] + 14}px`, right: left ? `${stage.node.clientWidth - at[0] + 10}px` : "" });
  }

  marked() {
    root.querySelectorAll(".nm-mark").forEach((node) => node.remove());
    const nucleus = this.picked;
    if (!nucleus) return;
    for (const { node } of this.stages) node.append(make("div", { class: "nm-mark", "data-label": nucleus.number }));
    this.redraw();
  }

  placeMarks() {
    const marks = root.querySelectorAll(".nm-mark");
    const nucleus = marks.length && this.picked;
    if (!nucleus) return marks.forEach((node) => node.remove());
    const { x0, y0, w, h } = nucleus, pad = 0.3 * Math.max(w, h) + 2;
    const [left, top] = this.toStage(null, [x0 - pad, y0 - pad]), [right, bottom] = this.toStage(null, [x0 + w + pad, y0 + h + pad]);
    marks.forEach((node) => Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` }));
  }

  showMark() { // one that was picked in the table comes into view
    this.marked();
    const nucleus = this.picked;
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
