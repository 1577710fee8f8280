// Where things are on the stage, and drawing them, frame by frame.
Object.assign(Desk.prototype, {
  size0() {
    const node = this.stages[0].node;
    return { w: node.clientWidth, h: node.clientHeight };
  },

  fitScale() {
    const { w, h } = this.size0();
    return Math.min(w / this.value.width, h / this.value.height) || 1;
  },

  settle() { // the view within its bounds
    const { value, view } = this, { w, h } = this.size0(), least = this.fitScale();
    if (!view.scale) Object.assign(view, { x: value.width / 2, y: value.height / 2, scale: least });
    else if (this.least) view.scale *= least / this.least; // the stage has another size: as much of the image stays in view
    this.least = least;
    view.scale = Math.min(Math.max(view.scale, least), Math.max(48, 4 * least));
    for (const [axis, length, shown] of [["x", value.width, w], ["y", value.height, h]]) {
      const half = shown / view.scale / 2;
      view[axis] = 2 * half >= length ? length / 2 : Math.min(Math.max(view[axis], half), length - half);
    }
    const whole = view.scale <= least * 1.001;
    for (const { node } of this.stages) node.style.touchAction = this.tool === "look" && whole ? "pan-y" : "none";
    root.dataset.zoom = (view.scale / least).toFixed(3);
  },

  toImage(stage, [x, y]) {
    const { w, h } = this.size0();
    return [this.view.x + (x - w / 2) / this.view.scale, this.view.y + (y - h / 2) / this.view.scale];
  },

  toStage(stage, [x, y]) {
    const { w, h } = this.size0();
    return [w / 2 + (x - this.view.x) * this.view.scale, h / 2 + (y - this.view.y) * this.view.scale];
  },

  within([x, y]) {
    return [Math.min(Math.max(x, 0.5), this.value.width - 0.5), Math.min(Math.max(y, 0.5), this.value.height - 0.5)];
  },

  sideAt(stage, [x]) {
    const { sides, node } = stage;
    return sides.length > 1 && (100 * x) / node.clientWidth > this.swipe ? sides[1] : sides[0].key === "truth" || sides[0].key === "agreement" ? null : sides[0];
  },

  zoomBy(factor, stage = null, at = null) {
    if (!this.value) return;
    const { w, h } = this.size0(), [x, y] = at || [w / 2, h / 2], still = this.toImage(stage, [x, y]);
    this.view.scale *= factor;
    this.settle();
    this.view.x = still[0] - (x - w / 2) / this.view.scale;
    this.view.y = still[1] - (y - h / 2) / this.view.scale;
    this.redraw();
  },

  moveBy(dx, dy) {
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    this.redraw();
  },

  fit() {
    this.view.scale = 0;
    this.redraw();
  },

  reveal(stage, spot) {
    const { w, h } = this.size0(), [x, y] = this.toStage(stage, spot);
    if (x < 30 || y < 30 || x > w - 30 || y > h - 30) [this.view.x, this.view.y] = spot;
    this.redraw();
  },

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
  },

  stale() {
    for (const layer of this.layers.values()) layer.stale();
    this.redraw();
  },

  patch(box, key) { // nuclei in a box have changed
    for (const [of, layer] of this.layers) if (of === key) layer.patch(box, (own, region) => this.paint(own, region, key));
    this.redraw();
  },

  redraw() {
    this.frame ||= requestAnimationFrame((now) => this.drawNow(now));
  },

  drawNow(now = performance.now()) { // not only when the next frame begins
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.value && this.stages.length && this.size0().w) this.draw(now);
  },

  draw(now) {
    this.settle();
    const ratio = Math.min(window.devicePixelRatio || 1, 3), seen = `${this.view.x} ${this.view.y} ${this.view.scale}`;
    if (seen !== this.lastSeen) [this.lastSeen, this.movedAt] = [seen, now];
    const deadline = performance.now() + (now - this.movedAt < 250 ? BUDGET.moving : BUDGET.still);
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
  },

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
  },

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
  },

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
  },

  async probability(key) {
    const name = `probability ${key}`, { of } = this.value;
    if (this.images[name]) return;
    const answer = await this.ask("probability", { network: key }).catch((error) => this.say(error.message));
    if (!answer || this.value?.of !== of) return;
    this.images[name] = halved(await decoded(answer.image));
    this.stale();
  },

  async agree() {
    const { value } = this, answer = await this.ask("agreement").catch((error) => this.say(error.message));
    if (!answer || this.value !== value) return;
    this.agreement = answer;
    this.build();
    this.stale();
  },
});
