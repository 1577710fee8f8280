// What stands around the pictures: captions, the choice of what is shown, the tools.
Object.assign(Desk.prototype, {
  panes() {
    const { value, look } = this;
    if (!value.networks.length) return [[{ key: "", title: "Your image", caption: "", alt: `Image ${value.name}, contrast stretched` }]];
    const how = look.paint === "probability" ? "probability map" : look.paint === "none" ? "not painted" : look.paint;
    const networks = value.networks.map(({ key, title }) => {
      const net = this.nets[key], how = (set, word) => (set.size ? `, ${set.size.toLocaleString("en")} ${word}` : "");
      const { count: fewer, below } = net.left_out, left = fewer ? `, ${fewer.toLocaleString("en")} left out: confidence below ${below}` : "";
      const caption = count(net.nuclei.count) + how(net.mended, "mended") + how(net.doubtful, "doubtful") + left;
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
  },

  build() {
    const groups = this.panes(), wanted = JSON.stringify([this.value.width, this.value.height, this.value.networks.length, groups.map((g) => g.map((p) => p.key))]);
    if (wanted !== this.built) {
      this.built = wanted;
      this.watcher?.disconnect();
      this.stages = [];
      const figures = groups.map((group) => this.figure(group));
      this.status = make("p", { class: "nm-said", role: "status", "aria-live": "polite" });
      root.replaceChildren(...(this.value.networks.length ? [this.lookBar(), this.toolBar(), this.status] : [this.status]),
        make("div", { class: `nm-panes nm-${groups.length}` }, ...figures), this.zoomBar(), ...(this.value.networks.length ? [this.teachBar()] : []));
      this.watcher = new ResizeObserver(() => this.stale());
      this.stages.forEach((stage) => this.watcher.observe(stage.node));
    }
    this.caption(groups);
    this.buttons();
  },

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
  },

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
  },

  radios(title, name, choices, chosen, choose) {
    const set = make("fieldset", { class: "nm-radios" }, make("legend", {}, title));
    for (const [value, text] of Object.entries(choices)) {
      const input = make("input", { type: "radio", name: `nm-${name}`, value });
      input.checked = value === chosen;
      input.addEventListener("change", () => choose(value));
      set.append(make("label", {}, input, make("span", {}, text)));
    }
    return set;
  },

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
  },

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
      ["Arrows", "Move the picture; with a tool, the cross (Shift: one pixel)."], [". ,", "To the next nucleus, the one before."], ["U", "To the next nucleus that is doubtful (Shift: the one before)."],
      ["Space, Enter", "With a tool: Space sets a point of a line, Enter ends it; Enter alone acts at the cross."],
      ["[ ]", "Size of the brush."], ["Esc", "Drop the line; back to Look."],
    ].flatMap(([keys, text]) => [make("dt", {}, keys), make("dd", {}, text)])));
    return make("div", { class: "nm-bar nm-mend", role: "toolbar", "aria-label": "Mending" },
      ...tools, this.size, this.undoButton, this.redoButton, clear, help);
  },

  zoomBar() {
    return make("div", { class: "nm-tools" },
      button("−", "Zoom out", () => this.zoomBy(1 / 1.5)), button("+", "Zoom in", () => this.zoomBy(1.5)),
      button("Fit", "Show the whole image", () => this.fit()),
      ...(this.value.networks.length ? [button("Next doubtful", "To the next nucleus with a low confidence. Key U.", () => this.nextDoubtful(), { "data-act": "doubtful" })] : []),
      button("Full screen", "Full screen", () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen())));
  },

  choose(name, quiet = false) {
    this.tool = name;
    root.querySelectorAll("[data-tool]").forEach((node) => node.setAttribute("aria-pressed", String(node.dataset.tool === name)));
    root.dataset.tool = name;
    if (!quiet) this.say(TOOLS.find((tool) => tool.name === name).help);
    this.redraw();
  },

  nextDoubtful(by = 1, stage = this.stages[0]) { // to the next one of a picture, from the one shown
    const side = stage?.sides.find(({ key }) => this.nets[key]?.doubtful.size), net = side && this.nets[side.key];
    if (!net) {
      const other = this.stages.find((one) => one.sides.some(({ key }) => this.nets[key]?.doubtful.size));
      return other && other !== stage ? this.nextDoubtful(by, other) : this.say("No nucleus is doubtful here.");
    }
    const numbers = [...net.doubtful].filter((n) => net.nuclei.byNumber.has(n)).sort((a, b) => a - b), last = net.atDoubtful;
    if (!numbers.length) return;
    const after = by > 0 ? numbers.find((n) => n > (last ?? 0)) ?? numbers[0] : numbers.findLast((n) => n < (last ?? Infinity)) ?? numbers.at(-1);
    net.atDoubtful = after;
    const nucleus = net.nuclei.byNumber.get(after), spot = net.nuclei.middle(nucleus);
    const across = Math.max(nucleus.w, nucleus.h), { w, h } = this.size0();
    if (across * this.view.scale < 40) this.view.scale = Math.min(w, h) / (8 * across); // close enough to judge
    stage.hand.cursor = spot;
    [this.view.x, this.view.y] = spot;
    this.settle();
    this.redraw();
    this.pick(side, spot);
    this.say(`${net.title}: doubtful nucleus ${numbers.indexOf(after) + 1} of ${numbers.length}, number ${after}.`);
  },

  resize(by) {
    this.radius = Math.min(Math.max(this.radius + by, 1), 40);
    this.size.querySelector("input").value = this.radius;
  },

  say(text) {
    if (this.status) this.status.textContent = text;
  },
});
