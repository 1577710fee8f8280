// What a hand does on a stage, with mouse, pen, fingers or keys -> calls of the desk (see main.js): move, zoom, pick, act.

const TOOLS = [
  { name: "look", key: "v", label: "Look", help: "Drag to move the picture. Click a nucleus for its numbers." },
  { name: "delete", key: "d", label: "Delete", help: "Click a nucleus, or draw a ring around several." },
  { name: "merge", key: "m", label: "Merge", help: "Draw from one nucleus to the other." },
  { name: "split", key: "s", label: "Split", help: "Draw a line across a nucleus, from edge to edge." },
  { name: "draw", key: "n", label: "New", help: "Draw the outline of a nucleus that was missed." },
  { name: "find", key: "f", label: "Find", help: "Click where a nucleus was missed: it is looked for at a lower threshold." },
  { name: "take", key: "t", label: "Take", help: "Click a nucleus: the other network's version takes its place." },
  { name: "paint", key: "b", label: "Brush", help: "Begin in a nucleus to enlarge it; on empty ground a new one begins." },
  { name: "erase", key: "e", label: "Eraser", help: "Brush away what is no nucleus." },
  { name: "measure", key: "l", label: "Diameter", help: "Draw a line across one nucleus to set the typical diameter." },
];
const CLICKS = ["delete", "find", "take"], BRUSHES = ["paint", "erase"];
const NEAR = 6; // CSS pixels that a click may move

class Hand {
  constructor(stage, desk) {
    Object.assign(this, { stage, desk, pointers: new Map(), stroke: null, pan: null, pinch: null, hover: null });
    this.cursor = null; // of the keyboard, pixels of the image
    this.anchors = [];
    const node = stage.node;
    for (const [type, handler] of Object.entries({
      pointerdown: this.down, pointermove: this.move, pointerup: this.up, pointercancel: this.cancel, pointerleave: this.leave,
      keydown: this.keydown, dblclick: this.dblclick, blur: () => this.desk.redraw(),
    })) node.addEventListener(type, handler.bind(this));
    node.addEventListener("wheel", this.wheel.bind(this), { passive: false });
    node.addEventListener("contextmenu", (event) => this.stroke && event.preventDefault());
  }

  place(event) { // CSS pixels of the stage
    const box = this.stage.node.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (!this.desk.value) return;
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    this.stage.node.setPointerCapture(event.pointerId);
    if (this.pointers.size === 2) {
      const [a, b] = this.pointers.values();
      Object.assign(this, { stroke: null, pan: null, pinch: { length: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: mid(a, b) } });
      return;
    }
    this.cursor = null;
    this.from = at;
    this.moved = false;
    if (this.desk.tool === "look" || event.button === 1) this.pan = at;
    else if (event.button === 0) this.stroke = [this.desk.toImage(this.stage, at)];
    this.desk.redraw();
  }

  move(event) {
    const at = this.place(event);
    this.hover = event.pointerType === "touch" ? null : at;
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, at);
    if (this.from && Math.hypot(at[0] - this.from[0], at[1] - this.from[1]) > NEAR) this.moved = true;
    if (this.pinch && this.pointers.size === 2) {
      const [a, b] = this.pointers.values(), length = Math.hypot(a[0] - b[0], a[1] - b[1]), middle = mid(a, b);
      this.desk.moveBy(middle[0] - this.pinch.middle[0], middle[1] - this.pinch.middle[1]);
      this.desk.zoomBy(length / Math.max(this.pinch.length, 1), this.stage, middle);
      this.pinch = { length, middle };
    } else if (this.pan) {
      if (this.moved) {
        this.desk.moveBy(at[0] - this.pan[0], at[1] - this.pan[1]);
        this.pan = at;
      }
    } else if (this.stroke) {
      for (const step of event.getCoalescedEvents?.() || []) this.stroke.push(this.desk.toImage(this.stage, this.place(step)));
      this.stroke.push(this.desk.toImage(this.stage, at));
    } else this.desk.hovered(this.stage, this.hover);
    this.desk.redraw();
  }

  up(event) {
    const at = this.place(event), { stroke, pan, moved } = this;
    this.pointers.delete(event.pointerId);
    Object.assign(this, { stroke: null, pan: null });
    if (this.pinch) {
      if (!this.pointers.size) this.pinch = null;
    } else if (stroke) {
      stroke.push(this.desk.toImage(this.stage, at));
      this.finish(this.desk.sideAt(this.stage, this.from), stroke, moved);
    } else if (pan && !moved) this.desk.pick(this.desk.sideAt(this.stage, at), this.desk.toImage(this.stage, at));
    this.from = null;
    this.desk.redraw();
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    Object.assign(this, { stroke: null, pan: null, pinch: null, from: null });
    this.desk.redraw();
  }

  leave() {
    this.hover = null;
    this.desk.hovered(this.stage, null);
    this.desk.redraw();
  }

  finish(side, points, moved) { // a stroke is drawn
    const { tool } = this.desk, path = thinned(points);
    if (tool === "measure") return this.desk.measured(path[0], path[path.length - 1]);
    if (!side?.key) return this.desk.say("Mending works in the picture of one network: choose Side by side or Swipe.");
    if (tool === "delete" && moved) return this.desk.act(side.key, { act: "lasso", points: path });
    if (CLICKS.includes(tool)) return this.desk.act(side.key, { act: tool, points: path.slice(0, 1) });
    if (BRUSHES.includes(tool)) return this.desk.act(side.key, { act: tool, points: path, radius: this.desk.radius });
    if (path.length < (tool === "draw" ? 3 : 2)) return this.desk.say(TOOLS.find((t) => t.name === tool).help);
    return this.desk.act(side.key, { act: tool, points: path });
  }

  wheel(event) { // a plain wheel scrolls the page until the picture is clicked
    const active = document.activeElement === this.stage.node || document.fullscreenElement;
    if (!event.ctrlKey && !event.metaKey && !active) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 20 : 1;
    this.desk.zoomBy(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 150 : 400)), this.stage, this.place(event));
  }

  dblclick(event) {
    if (this.desk.tool === "look") this.desk.zoomBy(2, this.stage, this.place(event));
  }

  keydown(event) {
    const { desk } = this, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") desk[event.shiftKey ? "redo" : "undo"]();
      else if (key === "y") desk.redo();
      else return;
    } else if (event.altKey) return;
    else if (key === "+" || key === "=") desk.zoomBy(1.5);
    else if (key === "-") desk.zoomBy(1 / 1.5);
    else if (key === "0") desk.fit();
    else if (key === "[" || key === "]") desk.resize(key === "[" ? -1 : 1);
    else if (key === "u") desk.nextDoubtful(event.shiftKey ? -1 : 1, this.stage);
    else if (key === "." || key === ",") this.step(key === "." ? 1 : -1);
    else if (arrows[key]) this.arrow(arrows[key], event.shiftKey);
    else if (key === "Escape") {
      if (!this.anchors.length) desk.choose("look");
      this.anchors = [];
    } else if (key === " ") this.anchor();
    else if (key === "Enter") this.enter();
    else {
      const tool = TOOLS.find((t) => t.key === key);
      if (!tool) return;
      this.anchors = [];
      desk.choose(tool.name);
    }
    event.preventDefault();
    desk.redraw();
  }

  arrow([dx, dy], fine) { // looks: moves the picture; else: moves the cursor
    const { desk } = this;
    if (desk.tool === "look") return desk.moveBy(-60 * dx, -60 * dy);
    this.cursor ??= [desk.view.x, desk.view.y].map((n) => Math.floor(n) + 0.5);
    const step = fine ? 1 : Math.max(1, Math.round(10 / desk.view.scale));
    this.cursor = desk.within([this.cursor[0] + dx * step, this.cursor[1] + dy * step]);
    desk.reveal(this.stage, this.cursor);
  }

  step(by) { // to the next nucleus
    const side = this.stage.sides[0], nuclei = this.desk.nuclei(side.key);
    const numbers = nuclei ? [...nuclei.byNumber.keys()].sort((a, b) => a - b) : [];
    if (!numbers.length) return;
    const here = this.cursor && nuclei.at(...this.cursor), at = here ? numbers.indexOf(here.number) + by : by > 0 ? 0 : -1;
    this.cursor = nuclei.middle(nuclei.byNumber.get(numbers[(at + numbers.length) % numbers.length]));
    this.desk.reveal(this.stage, this.cursor);
    if (this.desk.tool === "look") this.desk.pick(side, this.cursor);
  }

  anchor() {
    this.cursor ??= [this.desk.view.x, this.desk.view.y].map((n) => Math.floor(n) + 0.5);
    if (CLICKS.includes(this.desk.tool) && this.desk.tool !== "delete") return this.enter();
    this.anchors.push(this.cursor);
  }

  enter() {
    const { desk } = this;
    if (!this.cursor) return;
    if (desk.tool === "look") return desk.pick(this.stage.sides[0], this.cursor);
    const last = this.anchors[this.anchors.length - 1];
    const points = last && String(last) === String(this.cursor) ? this.anchors : [...this.anchors, this.cursor];
    this.anchors = [];
    this.finish(desk.sideAt(this.stage, desk.toStage(this.stage, this.cursor)), points, points.length > 2);
  }

  preview(context) { // what is being drawn, on the stage's canvas, CSS pixels
    const { desk, stage } = this, at = desk.toStage.bind(desk, stage);
    const line = this.stroke || (this.anchors.length ? [...this.anchors, this.cursor] : null);
    const brush = BRUSHES.includes(desk.tool), size = desk.radius * desk.view.scale;
    if (line) {
      const path = new Path2D();
      line.map(at).forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
      if (desk.tool === "draw" || (desk.tool === "delete" && line.length > 2)) path.closePath();
      if (brush) {
        context.globalAlpha = 0.5;
        context.lineCap = context.lineJoin = "round";
        context.lineWidth = 2 * size;
        context.strokeStyle = desk.tool === "paint" ? "#2fe6a8" : "#ff8a4d";
        context.stroke(path);
        context.globalAlpha = 1;
      } else strokeTwice(context, path, "#ffffff");
    }
    const cursor = document.activeElement === stage.node ? this.cursor : null;
    const spot = cursor ? at(cursor) : this.hover;
    if (!spot) return;
    const mark = new Path2D();
    if (brush) mark.arc(...spot, Math.max(size, 1), 0, 7);
    if (cursor) {
      mark.moveTo(spot[0] - 12, spot[1]);
      mark.lineTo(spot[0] + 12, spot[1]);
      mark.moveTo(spot[0], spot[1] - 12);
      mark.lineTo(spot[0], spot[1] + 12);
    }
    strokeTwice(context, mark, "#ffffff", 1.5);
  }
}

function mid(a, b) {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

function thinned(points) { // without repetitions, and at most 2000
  const found = points.filter((p, i) => !i || Math.hypot(p[0] - points[i - 1][0], p[1] - points[i - 1][1]) > 0.05);
  const every = Math.ceil(found.length / 2000);
  return found.filter((p, i) => i % every === 0 || i === found.length - 1).map((p) => p.map((n) => Math.round(n * 100) / 100));
}
