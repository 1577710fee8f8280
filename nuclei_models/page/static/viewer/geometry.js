// Label geometry. The server packs a label image as runs of pixels (see geometry.py); here they become nuclei, each with
// a mask in its box, and outlines traced from it when they are first drawn. Coordinates are pixels of the image.

const CELL = 64; // pixels, side of a cell of the grid that finds nuclei
const DX = [1, 0, -1, 0], DY = [0, 1, 0, -1];

async function unpacked(data) {
  const text = atob(data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Int32Array(await new Response(stream).arrayBuffer());
}

function nucleiOf(values, width) { // Int32Array of gaps, lengths and steps of numbers -> [{number, x0, y0, w, h, mask}]
  const n = values.length / 3, runs = new Map();
  for (let i = 0, at = 0, number = 0; i < n; i++) {
    at += values[i];
    number += values[2 * n + i];
    let list = runs.get(number);
    if (!list) runs.set(number, (list = []));
    for (let left = values[n + i]; left > 0;) { // a run may go on in the next row
      const y = Math.floor(at / width), x = at - y * width, length = Math.min(left, width - x);
      list.push(y, x, x + length);
      at += length;
      left -= length;
    }
  }
  return [...runs].map(([number, list]) => {
    let x0 = Infinity, x1 = 0, area = 0;
    for (let i = 0; i < list.length; i += 3) {
      x0 = Math.min(x0, list[i + 1]);
      x1 = Math.max(x1, list[i + 2]);
      area += list[i + 2] - list[i + 1];
    }
    const y0 = list[0], w = x1 - x0, h = list[list.length - 3] - y0 + 1, mask = new Uint8Array(w * h);
    for (let i = 0; i < list.length; i += 3) {
      const row = (list[i] - y0) * w - x0;
      mask.fill(1, row + list[i + 1], row + list[i + 2]);
    }
    return { number, x0, y0, w, h, mask, area, rings: null, coarse: [], paths: [] };
  });
}

let scratch = new Uint8Array(0);

function traced(nucleus) { // -> its outlines, each [x, y, x, y, ...] through the middles of the edges of pixels
  const { x0, y0, w, h, mask } = nucleus, W = w + 2, size = W * (h + 2), rings = [];
  if (scratch.length < size) scratch = new Uint8Array(2 * size);
  const inside = scratch.fill(0, 0, size); // 1, and 2 where the top edge of the pixel has been followed
  for (let y = 0; y < h; y++) inside.set(mask.subarray(y * w, (y + 1) * w), (y + 1) * W + 1);
  for (let y = 1; y <= h; y++) {
    for (let x = 1; x <= w; x++) {
      if (inside[y * W + x] !== 1 || inside[(y - 1) * W + x]) continue;
      const ring = [];
      let vx = x, vy = y, d = 0, before = -1; // along the top edge of this pixel, the nucleus on the right-hand side
      do {
        if (d === 0) inside[vy * W + vx] = 2;
        const now = d, mx = vx + DX[d] / 2, my = vy + DY[d] / 2;
        vx += DX[d];
        vy += DY[d];
        const right = inside[(vy - (d > 1)) * W + vx - (d === 1 || d === 2)];
        const left = inside[(vy - (d === 0 || d === 3)) * W + vx - (d > 1)];
        if (!right) d = (d + 1) & 3;
        else if (left) d = (d + 3) & 3;
        if (now !== before || now !== d) ring.push(mx + x0 - 1, my + y0 - 1); // else it is on a straight line
        before = now;
      } while (vx !== x || vy !== y || d !== 0);
      rings.push(ring);
    }
  }
  return rings;
}

function outline(nucleus, step) { // outlines with points about `step` pixels apart, a power of 2; all points below 1
  nucleus.rings ??= traced(nucleus);
  if (step < 1) return nucleus.rings;
  return (nucleus.coarse[step] ??= nucleus.rings.map((ring) => {
    const points = [ring[0], ring[1]];
    for (let i = 2, x = ring[0], y = ring[1]; i < ring.length; i += 2) {
      if (Math.abs(ring[i] - x) + Math.abs(ring[i + 1] - y) < step) continue;
      points.push((x = ring[i]), (y = ring[i + 1]));
    }
    return points;
  }));
}

class Nuclei { // found by number or by place
  constructor(width, height, list = []) {
    this.columns = Math.ceil(width / CELL);
    this.byNumber = new Map();
    this.cells = Array.from({ length: this.columns * Math.ceil(height / CELL) }, () => new Set());
    list.forEach((nucleus) => this.put(nucleus));
  }

  *cellsOf({ x0, y0, w, h }) {
    for (let row = Math.floor(y0 / CELL); row <= Math.floor((y0 + h - 1) / CELL); row++) {
      for (let column = Math.floor(x0 / CELL); column <= Math.floor((x0 + w - 1) / CELL); column++) {
        yield this.cells[row * this.columns + column];
      }
    }
  }

  put(nucleus) {
    this.drop(nucleus.number);
    this.byNumber.set(nucleus.number, nucleus);
    for (const cell of this.cellsOf(nucleus)) cell.add(nucleus);
  }

  drop(number) {
    const nucleus = this.byNumber.get(number);
    if (!nucleus) return;
    this.byNumber.delete(number);
    for (const cell of this.cellsOf(nucleus)) cell.delete(nucleus);
  }

  at(x, y) { // the nucleus that holds this point, if any
    const cell = this.cells[Math.floor(y / CELL) * this.columns + Math.floor(x / CELL)];
    for (const nucleus of cell || []) {
      const column = Math.floor(x) - nucleus.x0, row = Math.floor(y) - nucleus.y0;
      if (column < 0 || row < 0 || column >= nucleus.w || row >= nucleus.h) continue;
      if (nucleus.mask[row * nucleus.w + column]) return nucleus;
    }
    return null;
  }

  within(x0, y0, x1, y1) { // those whose box meets this one
    return [...this.byNumber.values()].filter((n) => n.x0 < x1 && n.y0 < y1 && n.x0 + n.w > x0 && n.y0 + n.h > y0);
  }

  middle(nucleus) { // a pixel of it in the middle of its middle row
    const row = nucleus.h >> 1, at = [];
    for (let x = 0; x < nucleus.w; x++) if (nucleus.mask[row * nucleus.w + x]) at.push(x);
    return [nucleus.x0 + at[at.length >> 1] + 0.5, nucleus.y0 + row + 0.5];
  }

  get count() {
    return this.byNumber.size;
  }
}
