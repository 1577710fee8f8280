// The outlines of many nuclei, stroked at once. A canvas without a GPU takes some 20 microseconds a path and stroke. Here
// every pixel near an outline gets its distance to the nearest one and that one's colour, and both strokes, the dark one
// below and the bright one, follow from the distance.

const FINE = 32; // steps of distance in a pixel
const MANY = 60; // nuclei, from which on this is faster
const BAND = 256; // rows that are coloured at once
const NONE = 255; // the colour of a gap between dashes: the dark stroke alone
const FREE = 0xffff;
const spareFields = [];

class Strokes {
  constructor(context, bright, dark, opacity, dash, box) { // widths and lengths in pixels of the canvas; all lies in a box of the image
    const { a, e, f } = context.getTransform(), reach = Math.min(dark / 2 + 0.5, 254 / FINE);
    const within = (length, at) => Math.min(Math.max(at, 0), length), { width: w, height: h } = context.canvas;
    const x = within(w, Math.floor(box.x0 * a + e - reach) - 1), y = within(h, Math.floor(box.y0 * a + f - reach) - 1);
    const width = within(w, Math.ceil(box.x1 * a + e + reach) + 1) - x, height = within(h, Math.ceil(box.y1 * a + f + reach) + 1) - y;
    const spare = spareFields.pop(), field = spare?.length === width * height ? spare : new Uint16Array(width * height);
    Object.assign(this, { context, bright, dark, opacity, dash, reach, x, y, width, height, zoom: a, left: e - x, top: f - y, colours: [], field: field.fill(FREE) });
  }

  add(rings, colour, dashed) { // rings in pixels of the image
    const { zoom, left, top } = this, [on, off] = this.dash;
    let index = this.colours.indexOf(colour);
    if (index < 0) index = this.colours.push(colour) - 1;
    for (const ring of rings) {
      const n = ring.length;
      let x = ring[n - 2] * zoom + left, y = ring[n - 1] * zoom + top, along = 0;
      for (let i = 0; i < n; i += 2) {
        const nextX = ring[i] * zoom + left, nextY = ring[i + 1] * zoom + top;
        if (!dashed) this.segment(x, y, nextX, nextY, index);
        else {
          const length = Math.hypot(nextX - x, nextY - y);
          for (let done = 0; done < length;) {
            const shows = along < on, step = Math.min((shows ? on : on + off) - along + 1e-6, length - done);
            const from = done / length, to = (done + step) / length;
            this.segment(x + from * (nextX - x), y + from * (nextY - y), x + to * (nextX - x), y + to * (nextY - y), shows ? index : NONE);
            done += step;
            along = (along + step) % (on + off);
          }
        }
        x = nextX;
        y = nextY;
      }
    }
  }

  segment(ax, ay, bx, by, colour) {
    const { field, width, height, reach } = this, farthest = reach * reach;
    const x0 = Math.max(0, Math.ceil(Math.min(ax, bx) - reach - 0.5)), x1 = Math.min(width - 1, Math.floor(Math.max(ax, bx) + reach - 0.5));
    const y0 = Math.max(0, Math.ceil(Math.min(ay, by) - reach - 0.5)), y1 = Math.min(height - 1, Math.floor(Math.max(ay, by) + reach - 0.5));
    const dx = bx - ax, dy = by - ay, square = dx * dx + dy * dy || 1, stepX = dx / square, stepY = dy / square;
    for (let y = y0; y <= y1; y++) {
      const fromY = y + 0.5 - ay, along = fromY * stepY;
      for (let x = x0, at = y * width + x0; x <= x1; x++, at++) {
        const fromX = x + 0.5 - ax;
        let t = fromX * stepX + along; // how far along the segment the nearest point lies
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        const offX = fromX - t * dx, offY = fromY - t * dy, distance = offX * offX + offY * offY;
        if (distance >= farthest) continue;
        const value = ((Math.sqrt(distance) * FINE) << 8) | colour;
        if (value < field[at]) field[at] = value;
      }
    }
  }

  *draw() {
    const { context, field, width, height } = this, covers = (stroke) => Float32Array.from({ length: 256 }, (_, i) => Math.min(Math.max(stroke / 2 + 0.5 - (i + 0.5) / FINE, 0), 1));
    const bright = covers(this.bright), dark = covers(this.dark).map((share) => share * this.opacity);
    const none = new Float32Array(256), red = [], green = [], blue = []; // of each colour: what it adds, by distance
    this.colours.forEach((colour, index) => [red, green, blue].forEach((list, c) => {
      const full = parseInt(colour.slice(2 * c + 1, 2 * c + 3), 16);
      list[index] = bright.map((share) => share * full);
    }));
    [red, green, blue].forEach((list) => { list[NONE] = none; });
    const rest = dark.map((share, i) => (1 - share) * (1 - bright[i])), restOfGap = dark.map((share) => 1 - share);
    for (let top = 0; width && top < height; top += BAND) {
      const rows = Math.min(BAND, height - top), image = context.getImageData(this.x, this.y + top, width, rows), { data } = image;
      for (let i = 0, at = top * width; i < data.length; i += 4, at++) {
        const value = field[at];
        if (value === FREE) continue;
        const colour = value & 255, distance = value >> 8, left = (colour === NONE ? restOfGap : rest)[distance];
        data[i] = data[i] * left + red[colour][distance];
        data[i + 1] = data[i + 1] * left + green[colour][distance];
        data[i + 2] = data[i + 2] * left + blue[colour][distance];
      }
      context.putImageData(image, this.x, this.y + top);
      yield;
    }
    spareFields.length = 0;
    spareFields.push(field);
  }
}
