// What is seen of a pane. A layer holds the picture with the outlines on it, drawn at the screen's resolution with a
// margin around what is in view: moving copies from it, zooming stretches it until the hand rests and it is drawn anew.

const BRIGHT = ["#ffb000", "#5cc4ff", "#2fe6a8", "#ff8a4d", "#f09ad0", "#9db8ff", "#f4ea4a"];
const MENDED = "#ffffff", DARKNESS = 0.75, DARK = `rgba(0, 0, 0, ${DARKNESS})`;
const TILE = 1024, TILES = 24; // pixels of the image; how many are kept
const REST = 70; // milliseconds without zooming, after which it is drawn anew

class Tiles { // parts of the image at its own resolution, fetched when one looks closely
  constructor(fetch, arrived) {
    Object.assign(this, { fetch, arrived, held: new Map(), failed: false });
  }

  clear() {
    this.held.clear();
  }

  get(base, column, row) {
    const name = `${base} ${column} ${row}`;
    let tile = this.held.get(name);
    if (tile) {
      this.held.delete(name);
    } else {
      tile = { image: null };
      this.fetch(base, column, row).then((data) => decoded(data)).then((image) => {
        tile.image = image;
        if (this.held.get(name) === tile) this.arrived(column * TILE, row * TILE);
      }, () => this.held.delete(name));
    }
    this.held.set(name, tile); // the last used last
    if (this.held.size > TILES) this.held.delete(this.held.keys().next().value);
    return tile.image;
  }
}

async function decoded(data) {
  const image = new Image();
  image.src = data;
  await image.decode();
  return image;
}

function halved(image) { // the picture and itself at half, a quarter, ... of its size, for views from afar
  const sizes = [image];
  for (let { naturalWidth: w, naturalHeight: h } = image; Math.max(w, h) > 500;) {
    [w, h] = [Math.max(1, w >> 1), Math.max(1, h >> 1)];
    const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h });
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    context.drawImage(sizes[sizes.length - 1], 0, 0, w, h);
    sizes.push(canvas);
  }
  return sizes;
}

class Layer { // two canvases: one is shown while the other is drawn, some milliseconds a frame
  constructor() {
    this.front = this.back = this.job = null;
    this.fresh = false; // whether what is shown is up to date
  }

  stale() {
    this.fresh = false;
    this.job = null;
  }

  // view: {x, y, scale} of the stage's middle; size: {w, h} of the stage, CSS pixels; paint(context, region) draws in steps
  show(context, view, size, ratio, paint, now, deadline) {
    const suits = (to, share) => to && to.scale === view.scale && to.ratio === ratio && to.size.w === size.w && to.size.h === size.h &&
      Math.abs(view.x - to.x) * view.scale <= share * to.marginX && Math.abs(view.y - to.y) * view.scale <= share * to.marginY;
    if (this.seen !== view.scale) this.rested = now + (this.front && this.fresh ? REST : 0);
    this.seen = view.scale;
    const good = this.fresh && suits(this.front, 0.5);
    if (this.job && !suits(this.back, 0.5)) this.job = null;
    if (!good && !this.job && now >= this.rested) {
      this.back = this.prepared(this.back, view, size, ratio);
      this.job = paint(this.back.context, this.back.region);
    }
    while (this.job && performance.now() < deadline) {
      const { done } = this.job.next();
      this.back.context.getImageData(0, 0, 1, 1); // so that it is drawn now, not all at once when it is shown
      if (!done) continue;
      [this.front, this.back, this.job, this.fresh] = [this.back, this.front, null, true];
    }
    if (this.front) this.copy(this.front, context, view, size, ratio);
    else if (this.back) this.copy(this.back, context, view, size, ratio);
    return this.fresh && suits(this.front, 0.5);
  }

  prepared(old, view, size, ratio) { // a canvas for this view, with a margin
    const marginX = Math.ceil(size.w / 3), marginY = Math.ceil(size.h / 3), w = size.w + 2 * marginX, h = size.h + 2 * marginY;
    const canvas = old?.canvas || document.createElement("canvas"), width = Math.round(w * ratio), height = Math.round(h * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true }), zoom = view.scale * ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.setTransform(zoom, 0, 0, zoom, width / 2 - view.x * zoom, height / 2 - view.y * zoom);
    const half = { x: w / 2 / view.scale, y: h / 2 / view.scale };
    const region = { x0: view.x - half.x, y0: view.y - half.y, x1: view.x + half.x, y1: view.y + half.y, zoom };
    return { canvas, context, region, x: view.x, y: view.y, scale: view.scale, w, h, ratio, size, marginX, marginY };
  }

  patch(box, paint) { // what lies in a box has changed
    this.job = null;
    if (!this.front || !this.fresh) return;
    const { context, region } = this.front, pad = 4 / this.front.scale;
    const part = { x0: Math.max(box.x0 - pad, region.x0), y0: Math.max(box.y0 - pad, region.y0), x1: Math.min(box.x1 + pad, region.x1), y1: Math.min(box.y1 + pad, region.y1), zoom: region.zoom, part: true };
    if (part.x0 >= part.x1 || part.y0 >= part.y1) return;
    context.save();
    context.beginPath();
    context.rect(part.x0, part.y0, part.x1 - part.x0, part.y1 - part.y0);
    context.clip();
    for (const step of paint(context, part)) void step;
    context.restore();
  }

  copy(from, context, view, size, ratio) {
    const factor = view.scale / from.scale, w = from.w * factor, h = from.h * factor;
    const x = size.w / 2 + (from.x - view.x) * view.scale - w / 2, y = size.h / 2 + (from.y - view.y) * view.scale - h / 2;
    if (factor === 1) return context.drawImage(from.canvas, Math.round(x * ratio), Math.round(y * ratio));
    context.imageSmoothingEnabled = false; // for the moment of zooming
    context.drawImage(from.canvas, x * ratio, y * ratio, w * ratio, h * ratio);
  }
}

function paintBase(context, region, base, value, tiles, name) {
  const resolution = base[0].naturalWidth / value.width; // of what was sent, below 1 for a large image
  const size = base.filter((picture) => picture.width / value.width >= region.zoom).pop() || base[0];
  context.imageSmoothingEnabled = region.zoom < 3;
  context.drawImage(size, 0, 0, value.width, value.height);
  if (!tiles || resolution >= 1 || region.zoom < 1.05 * resolution) return;
  const first = [Math.max(0, region.x0), Math.max(0, region.y0)].map((n) => Math.floor(n / TILE));
  const last = [Math.min(value.width - 1, region.x1), Math.min(value.height - 1, region.y1)].map((n) => Math.floor(n / TILE));
  for (let row = first[1]; row <= last[1]; row++) {
    for (let column = first[0]; column <= last[0]; column++) {
      const image = tiles.get(name, column, row);
      if (image) context.drawImage(image, column * TILE, row * TILE);
    }
  }
}

function pathOf(nucleus, step) { // many short paths are drawn faster than a long one
  return (nucleus.paths[step] ??= outline(nucleus, step).reduce((path, ring) => {
    path.moveTo(ring[0], ring[1]);
    for (let i = 2; i < ring.length; i += 2) path.lineTo(ring[i], ring[i + 1]);
    path.closePath();
    return path;
  }, new Path2D()));
}

// style: (nucleus) => {fill, stroke, dashed}; yields now and then
function* paintNuclei(context, region, nuclei, style, opacity) { // `region.part`: the context is clipped to it
  const shown = nuclei.within(region.x0, region.y0, region.x1, region.y1).map((nucleus) => [nucleus, style(nucleus)]);
  const step = region.zoom >= 1 ? 0 : 2 ** Math.floor(Math.log2(1.5 / region.zoom));
  const px = Math.min(window.devicePixelRatio || 1, 3) / region.zoom, width = region.zoom < 0.7 ? 1.2 : 1.7;
  const many = !region.part && shown.length > MANY;
  context.lineJoin = "miter";
  context.miterLimit = 2;
  const passes = [
    [([, how]) => how.fill, () => { context.globalAlpha = opacity; }, (path, how) => { context.fillStyle = how.fill; context.fill(path, "evenodd"); }],
    [([, how]) => how.stroke, () => Object.assign(context, { strokeStyle: DARK, lineWidth: (width + 1.7) * px }), (path) => context.stroke(path)],
    [([, how]) => how.stroke, () => { context.lineWidth = width * px; }, (path, how) => {
      context.setLineDash(how.dashed ? [4 * px, 3 * px] : []);
      context.strokeStyle = how.stroke;
      context.stroke(path);
    }],
  ];
  for (const [concerns, begin, draw] of many ? passes.slice(0, 1) : passes) {
    const list = shown.filter(concerns);
    for (let i = 0; i < list.length; i++) {
      if (i % 16 === 0) {
        if (i) yield;
        begin();
      }
      draw(pathOf(list[i][0], step), list[i][1]);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
    yield;
  }
  if (!many) return;
  const ratio = px * region.zoom, box = { x0: Infinity, y0: Infinity, x1: 0, y1: 0 };
  for (const [{ x0, y0, w, h }] of shown) {
    Object.assign(box, { x0: Math.min(box.x0, x0), y0: Math.min(box.y0, y0), x1: Math.max(box.x1, x0 + w), y1: Math.max(box.y1, y0 + h) });
  }
  const strokes = new Strokes(context, width * ratio, (width + 1.7) * ratio, DARKNESS, [4 * ratio, 3 * ratio], box);
  for (let i = 0; i < shown.length; i++) {
    const [nucleus, how] = shown[i];
    if (how.stroke) strokes.add(outline(nucleus, step), how.stroke, how.dashed);
    if (i % 100 === 99) yield;
  }
  yield* strokes.draw();
}

function strokeTwice(context, path, bright, width = 2) { // seen on any ground
  context.lineJoin = context.lineCap = "round";
  context.strokeStyle = DARK;
  context.lineWidth = width + 2;
  context.stroke(path);
  context.strokeStyle = bright;
  context.lineWidth = width;
  context.stroke(path);
}
