// The teaching set: images with their mended nuclei, kept in this browser and saved as a folder for `nuclei train`.

const SET = "pairs";

function openSet() { // the browser's database
  return (openSet.opened ??= new Promise((then, fail) => {
    const request = indexedDB.open("nuclei-teaching", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(SET, { keyPath: "id" });
    request.onsuccess = () => then(request.result);
    request.onerror = () => fail(new Error("This browser keeps nothing: the teaching set needs its storage."));
  }));
}

async function inSet(mode, work) { // one request to it
  const store = (await openSet()).transaction(SET, mode).objectStore(SET), request = work(store);
  return new Promise((then, fail) => {
    request.onsuccess = () => then(request.result);
    request.onerror = () => fail(new Error("The browser's storage is full: download the set and empty it."));
  });
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; i++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function zipped(files) { // [[name, Uint8Array]] -> Blob; stored, for what it holds is compressed already
  const parts = [], entries = [], text = new TextEncoder();
  let at = 0;
  for (const [name, bytes] of files) {
    let crc = -1;
    for (let i = 0; i < bytes.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
    const label = text.encode(name), head = new DataView(new ArrayBuffer(26));
    [[0, 20], [2, 0x0800], [4, 0], [6, 0], [8, 0x21]].forEach(([i, value]) => head.setUint16(i, value, true));
    head.setUint32(10, ~crc, true);
    head.setUint32(14, bytes.length, true);
    head.setUint32(18, bytes.length, true);
    head.setUint16(22, label.length, true);
    const tail = new DataView(new ArrayBuffer(14));
    tail.setUint32(10, at, true);
    entries.push(new Uint8Array([0x50, 0x4b, 1, 2, 20, 0]), head.buffer, tail.buffer, label);
    parts.push(new Uint8Array([0x50, 0x4b, 3, 4]), head.buffer, label, bytes);
    at += 30 + label.length + bytes.length;
  }
  const size = entries.reduce((sum, entry) => sum + entry.byteLength, 0), end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, at, true);
  return new Blob([...parts, ...entries, end.buffer], { type: "application/zip" });
}

function bytesOf(base64) {
  const text = atob(base64);
  return Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

Object.assign(Desk.prototype, {
  teachBar() {
    const choice = make("select", { "aria-label": "Whose nuclei" }, ...this.value.networks.map(({ key, title }) => make("option", { value: key }, `${title}'s nuclei`)));
    const mended = this.value.networks.find(({ key }) => this.nets[key].done.length);
    choice.value = (mended || this.value.networks[this.value.networks.length - 1]).key;
    this.teachChoice = choice;
    this.setSays = make("span", { class: "nm-set" });
    const said = (work) => () => work().then(() => this.toldSet()).catch((error) => this.say(error.message));
    this.toldSet().catch(() => {});
    return make("details", { class: "nm-teach" }, make("summary", {}, "Teaching set ", this.setSays),
      make("p", {}, "Collect images with nuclei that you have checked and mended. The folder that you download trains a network of your own: nuclei train FOLDER. It is kept in this browser.", props.training && props.training !== "yes" ? ` ${props.training}` : ""),
      make("div", { class: "nm-bar" }, choice, button("Add this image", "Add this image to the teaching set", said(() => this.teach(choice.value)), { "data-act": "teach" }),
        button("Download (zip)", "Download the teaching set", said(() => this.saveSet()), { "data-act": "save-set" }),
        ...this.trainControls(said),
        button("Empty", "Empty the teaching set", said(() => inSet("readwrite", (store) => store.clear())), { "data-act": "empty-set" })));
  },

  trainControls(said) { // where the page runs on one's own machine
    if (props.training !== "yes") return [];
    const minutes = make("input", { type: "number", min: 0.1, max: 1440, step: "any", value: this.minutes || 20, "aria-label": "Minutes of training", class: "nm-minutes" });
    minutes.addEventListener("input", () => { this.minutes = Number(minutes.value); });
    return [button("Train a network", "Train a network on the teaching set, on this machine", said(() => this.train()), { "data-act": "train" }),
      make("label", {}, "for ", minutes, " min")];
  },

  async train() {
    const files = await this.setFiles();
    if (!files) return;
    this.say("The teaching set goes to the training …");
    const { path } = await upload(new File([zipped(files)], "teaching-set.zip"));
    trigger("upload", { path, network: this.teachChoice.value, minutes: this.minutes || 20 });
    this.say(`A network is trained on the set, beginning with ${this.nets[this.teachChoice.value].title}. You can go on working.`);
  },

  async toldSet() {
    const pairs = await inSet("readonly", (store) => store.getAll()), n = pairs.reduce((sum, pair) => sum + pair.nuclei, 0);
    this.setSays.textContent = pairs.length ? `(${pairs.length === 1 ? "1 image" : `${pairs.length} images`}, ${count(n)})` : "(empty)";
  },

  async teach(network) {
    const { image, name } = this.value, pair = await this.ask("pair", { network });
    await inSet("readwrite", (store) => store.put({ id: image, name, nuclei: pair.nuclei, image: bytesOf(pair.image), labels: bytesOf(pair.labels) }));
    this.say(`${name} is in the teaching set, with ${count(pair.nuclei)} of ${this.nets[network].title}. Add it again after more mending.`);
  },

  async setFiles() { // [[name, bytes]] of the whole set, null where it is empty
    const pairs = await inSet("readonly", (store) => store.getAll()), names = new Set(), files = [];
    if (!pairs.length) return this.say("The teaching set is empty: add an image first."), null;
    for (const pair of pairs) {
      let name = pair.name;
      for (let i = 2; names.has(name.toLowerCase()); i++) name = `${pair.name}-${i}`;
      names.add(name.toLowerCase());
      files.push([`teaching-set/images/${name}.tif`, pair.image], [`teaching-set/labels/${name}.tif`, pair.labels]);
    }
    return files;
  },

  async saveSet() {
    const files = await this.setFiles();
    if (!files) return;
    const link = make("a", { href: URL.createObjectURL(zipped(files)), download: "teaching-set.zip" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  },
});
