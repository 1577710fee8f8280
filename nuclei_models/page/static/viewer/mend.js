// Mending: acts go to the server one after the other, and what has changed comes back; what was done is kept in the
// browser, by the image's hash, so that neither a reload nor a lost connection loses it.

const FOLLOW = 120; // milliseconds from an act to the numbers

Object.assign(Desk.prototype, {
  act(network, edit) {
    return this.enqueue(network, "act", { edit }, (net, answer) => {
      net.done.push(answer.edit);
      this.teachChoice.value = network; // whose nuclei are worth keeping
      for (const other of Object.values(this.nets)) other.undone = [];
      this.order = [...this.order.slice(0, this.doneInAll() - 1), network];
      this.say(`${this.nets[network].title}: ${answer.said} Ctrl+Z takes it back.`);
    });
  },

  undo() {
    const at = this.doneInAll() - 1;
    if (at < 0) return this.say("There is nothing to undo.");
    return this.enqueue(null, "undo", {}, (net, answer) => {
      net.undone.push(net.done.pop());
      this.say(`Undone. ${answer.said}`);
    }, () => this.order[this.doneInAll() - 1]);
  },

  redo() {
    if (!this.undoneInAll()) return this.say("There is nothing to do again.");
    return this.enqueue(null, "redo", {}, (net, answer) => {
      net.done.push(net.undone.pop());
      this.say(`Done again. ${answer.said}`);
    }, () => this.order[this.doneInAll()]);
  },

  async clear() {
    for (const key of Object.keys(this.nets)) {
      await this.enqueue(key, "repeat", { done: [], undone: [], first: true }, (net) => Object.assign(net, { done: [], undone: [] }));
    }
    this.order = [];
    this.keep();
    this.say("All mends of this image are undone and forgotten.");
  },

  doneInAll() {
    return Object.values(this.nets).reduce((sum, net) => sum + net.done.length, 0);
  },

  undoneInAll() {
    return Object.values(this.nets).reduce((sum, net) => sum + net.undone.length, 0);
  },

  // one request after the other; `which` says the network once it is this one's turn
  enqueue(network, what, more, then, which = () => network) {
    const of = this.value?.of;
    const turn = this.queue.then(async () => {
      await this.restoring; // what was kept comes first
      const key = which(), { value } = this;
      if (!key || value?.of !== of || !this.nets[key]) return; // another image by now
      root.dataset.busy = "true";
      try {
        const answer = await this.ask(what, { network: key, ...more });
        if (this.value?.of !== of) return;
        this.version = Math.max(this.version, answer.version);
        const isLate = this.value !== value; // other nuclei are drawn by now, with other numbers
        if (!isLate) await this.changed(key, answer);
        then(this.nets[key], answer);
        this.keep();
        if (isLate) await (this.restoring = this.again());
        this.buttons();
        this.edited();
      } catch (error) {
        this.say(error.message);
      } finally {
        delete root.dataset.busy;
        root.dataset.acts = Number(root.dataset.acts || 0) + 1;
      }
    });
    this.queue = turn;
    return turn;
  },

  edited() { // the numbers follow once the picture is seen: the page's own work for an event takes a while
    clearTimeout(this.editing);
    this.editing = setTimeout(() => {
      trigger("edit", {});
    }, FOLLOW);
  },

  async changed(key, answer) { // the nuclei that an answer brings
    const net = this.nets[key], { width, height } = this.value;
    const list = nucleiOf(await unpacked(answer.geometry), width);
    net.mended = new Set(answer.mended);
    this.agreement = null;
    if (answer.whole) {
      net.nuclei = new Nuclei(width, height, list);
      return this.refresh();
    }
    const touched = [...answer.gone.map((number) => net.nuclei.byNumber.get(number)), ...list.map(({ number }) => net.nuclei.byNumber.get(number)), ...list].filter(Boolean);
    answer.gone.forEach((number) => net.nuclei.drop(number));
    list.forEach((nucleus) => net.nuclei.put(nucleus));
    this.caption(this.panes());
    for (const { x0, y0, w, h } of touched) this.patch({ x0, y0, x1: x0 + w, y1: y0 + h }, key);
    this.placeMarks();
  },

  buttons() {
    if (!this.undoButton) return;
    this.undoButton.disabled = !this.doneInAll();
    this.redoButton.disabled = !this.undoneInAll();
    this.clearButton.disabled = !this.doneInAll() && !this.undoneInAll();
  },

  // keeping

  keep() {
    const { image } = this.value, nets = Object.fromEntries(Object.entries(this.nets).map(([key, { done, undone }]) => [key, { done, undone }]));
    try {
      if (!this.doneInAll() && !this.undoneInAll()) return localStorage.removeItem(KEPT + image);
      localStorage.setItem(KEPT + image, JSON.stringify({ time: Date.now(), order: this.order, nets }));
    } catch {
      this.say("This browser keeps no more: download your work, a reload would lose the last mends.");
    }
  },

  async again() { // all nuclei with all mends as they are now; -> edits that do nothing, or null if there is another image
    const { value } = this;
    let idle = 0;
    for (const [key, { done, undone }] of Object.entries(this.nets)) {
      if (!done.length && !undone.length && !this.version) continue;
      for (let i = 0; i === 0 || i < done.length; i += 300) { // a request has a limit
        const last = i + 300 >= done.length;
        const answer = await this.ask("repeat", { network: key, first: i === 0, done: done.slice(i, i + 300), undone: last ? undone : [] })
          .catch((error) => this.say(error.message));
        if (!answer || this.value?.of !== value.of) return null;
        this.version = Math.max(this.version, answer.version);
        if (this.value !== value) return this.again(); // drawn at other settings meanwhile
        if (!last) continue;
        await this.changed(key, answer);
        idle += answer.idle;
      }
    }
    return idle;
  },

  async restore() { // what this browser kept of the image that is shown now
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(KEPT + this.value.image));
    } catch { /* nothing of ours */ }
    if (kept?.nets) {
      for (const [key, net] of Object.entries(this.nets)) {
        const { done = [], undone = [] } = kept.nets[key] || {};
        Object.assign(net, { done, undone });
      }
      this.order = kept.order || [];
      const idle = await this.again();
      if (idle === null) return;
      const n = this.doneInAll(), none = idle ? ` ${idle} of them do nothing with these settings.` : "";
      this.say(`${n === 1 ? "1 mend" : `${n} mends`} of ${new Date(kept.time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })} are back.${none}`);
      trigger("edit", {});
    }
    this.buttons();
  },
});

const desk = (root.desk = new Desk());
watch("value", () => desk.take(props.value));
watch("bases", () => desk.takeBases(props.bases));
watch("of", () => desk.take(props.value));
watch("mark", () => desk.showMark());
watch("numbers", () => desk.numbered());
watch("training", () => { desk.built = ""; if (desk.value) desk.build(); });
desk.takeBases(props.bases);
desk.take(props.value);
