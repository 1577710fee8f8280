"""Outlines of many nuclei, which the viewer strokes by itself, look like those that the browser strokes."""

import base64
import io

import numpy as np
from PIL import Image

from nuclei_models.page.layout import asset

# 144 discs, of which each tenth has a dashed outline, on a grey ground
DRAW = """(part) => {
  const nuclei = new Nuclei(600, 600), r = 18;
  for (let i = 0; i < 144; i++) {
    const mask = new Uint8Array(4 * r * r), x0 = 8 + 49 * (i % 12), y0 = 8 + 49 * Math.floor(i / 12);
    for (let y = 0; y < 2 * r; y++) {
      for (let x = 0; x < 2 * r; x++) mask[2 * r * y + x] = Math.hypot(x + 0.5 - r, y + 0.5 - r) < r;
    }
    nuclei.put({ number: i + 1, x0, y0, w: 2 * r, h: 2 * r, mask, area: 0, rings: null, coarse: [], paths: [] });
  }
  const canvas = Object.assign(document.createElement('canvas'), { width: 240, height: 240 });
  const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true }), zoom = 0.4;
  context.fillStyle = '#808080';
  context.fillRect(0, 0, 240, 240);
  context.setTransform(zoom, 0, 0, zoom, 0, 0);
  const whole = { x0: 0, y0: 0, x1: 600, y1: 600, zoom, part };
  const style = ({ number }) => ({ fill: null, stroke: BRIGHT[number % BRIGHT.length], dashed: number % 10 === 0 });
  for (const step of paintNuclei(context, whole, nuclei, style, 0.5)) void step;
  return canvas.toDataURL();
}"""


def test_they_look_like_the_browsers(chromium):
    page = chromium.new_page()
    page.add_script_tag(content="\n".join(asset(f"viewer/{name}.js") for name in ("geometry", "strokes", "paint")))
    own, browsers = (pixels(page.evaluate(f"({DRAW})({part})")) for part in ("false", "true"))
    page.close()
    ground = (browsers == 128).all(-1)
    assert 0.3 < ground.mean() < 0.8
    assert (own[ground] == 128).mean() > 0.97
    assert np.abs(own.astype(int) - browsers).mean() < 6
    assert np.corrcoef(own[~ground].ravel(), browsers[~ground].ravel())[0, 1] > 0.95
    assert not np.array_equal(own, browsers)  # the one is not the other


def pixels(data: str) -> np.ndarray:
    """A data URL -> (H, W, 3)."""
    with Image.open(io.BytesIO(base64.b64decode(data.split(",", 1)[1]))) as picture:
        return np.asarray(picture.convert("RGB"))
