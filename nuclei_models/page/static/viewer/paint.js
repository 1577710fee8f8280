// What is seen of a pane. A layer holds the picture with the outlines on it, drawn at the screen's resolution with a
// margin around what is in view: moving copies from it, zooming stretches it until the hand rests and it is drawn anew.

const BRIGHT = ["#ffb000", "#5cc4ff", "#2fe6a8", "#ff8a4d", "#f09ad0", "#9db8ff", "#f4ea4a"];
const MENDED = "#ffffff", DARK = "rgba(0, 0, 0, 0.75)";
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
        if (this.held.get(name) === tile) this.arrived();
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

class Layer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.scale = 0; // 0: to be drawn
  }

  // view: {x, y, scale} of the stage's middle; size: {w, h} of the stage, CSS pixels; paint(context, region) draws
  show(context, view, size, ratio, paint, now) {
    const marginX = Math.ceil(size.w / 4), marginY = Math.ceil(size.h / 4);
    const w = size.w + 2 * marginX, h = size.h + 2 * marginY;
    const outside = Math.abs(view.x - this.x) * view.scale > marginX || Math.abs(view.y - this.y) * view.scale > marginY;
    const zoomed = this.scale !== view.scale, factor = view.scale / this.scale;
    if (zoomed && factor > 0.5 && factor < 2.5 && this.ratio === ratio && this.w === w && this.h === h) {
      if (this.seen !== view.scale) this.rested = now + REST;
      this.seen = view.scale;
      if (now < this.rested) {
        this.copy(context, view, size, ratio);
        return false; // to be drawn anew soon
      }
    }
    if (zoomed || outside || this.ratio !== ratio || this.w !== w || this.h !== h) {
      Object.assign(this, { x: view.x, y: view.y, scale: view.scale, w, h, ratio });
      const width = Math.round(w * ratio), height = Math.round(h * ratio);
      if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
      const own = this.canvas.getContext("2d", { alpha: false });
      own.setTransform(1, 0, 0, 1, 0, 0);
      own.fillStyle = "#000";
      own.fillRect(0, 0, width, height);
      const zoom = view.scale * ratio;
      own.setTransform(zoom, 0, 0, zoom, width / 2 - view.x * zoom, height / 2 - view.y * zoom);
      const half = { x: w / 2 / view.scale, y: h / 2 / view.scale };
      paint(own, { x0: view.x - half.x, y0: view.y - half.y, x1: view.x + half.x, y1: view.y + half.y, zoom });
    }
    this.copy(context, view, size, ratio);
    return true;
  }

  copy(context, view, size, ratio) {
    const factor = view.scale / this.scale, w = this.w * factor, h = this.h * factor;
    const x = size.w / 2 + (this.x - view.x) * view.scale - w / 2, y = size.h / 2 + (this.y - view.y) * view.scale - h / 2;
    context.imageSmoothingEnabled = factor !== 1;
    if (factor === 1) context.drawImage(this.canvas, Math.round(x * ratio), Math.round(y * ratio));
    else context.drawImage(this.canvas, x * ratio, y * ratio, w * ratio, h * ratio);
  }
}

function paintBase(context, region, base, value, tiles, name) {
  const resolution = base.naturalWidth / value.width; // of what was sent, below 1 for a large image
  context.imageSmoothingEnabled = region.zoom < 3;
  context.imageSmoothingQuality = region.zoom < 0.7 ? "medium" : "low";
  context.drawImage(base, 0, 0, value.width, value.height);
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

function pathOf(list, step) {
  const path = new Path2D();
  for (const nucleus of list) {
    for (const ring of outline(nucleus, step)) {
      path.moveTo(ring[0], ring[1]);
      for (let i = 2; i < ring.length; i += 2) path.lineTo(ring[i], ring[i + 1]);
      path.closePath();
    }
  }
  return path;
}

// style: (nucleus) => {fill, stroke, dashed}; groups of one style are drawn at once
function paintNuclei(context, region, nuclei, style, opacity, width = 1.6) {
  const shown = nuclei.within(region.x0, region.y0, region.x1, region.y1);
  const step = region.zoom >= 1 ? 0 : 2 ** Math.floor(Math.log2(1.2 / region.zoom));
  const groups = new Map();
  for (const nucleus of shown) {
    const how = style(nucleus), name = `${how.fill} ${how.stroke} ${how.dashed}`;
    if (!groups.has(name)) groups.set(name, { how, list: [] });
    groups.get(name).list.push(nucleus);
  }
  const px = (window.devicePixelRatio || 1) / region.zoom;
  context.lineJoin = "round";
  const drawn = [...groups.values()].map((group) => ({ ...group, path: pathOf(group.list, step) }));
  for (const { how, path } of drawn) {
    if (!how.fill) continue;
    context.globalAlpha = opacity;
    context.fillStyle = how.fill;
    context.fill(path, "evenodd");
    context.globalAlpha = 1;
  }
  context.strokeStyle = DARK;
  context.lineWidth = (width + 1.8) * px;
  for (const { how, path } of drawn) if (how.stroke) context.stroke(path);
  context.lineWidth = width * px;
  for (const { how, path } of drawn) {
    if (!how.stroke) continue;
    context.setLineDash(how.dashed ? [4 * px, 3 * px] : []);
    context.strokeStyle = how.stroke;
    context.stroke(path);
  }
  context.setLineDash([]);
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
