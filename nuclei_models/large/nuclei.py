"""Maps -> nuclei, block by block and cell by cell, each nucleus once.

A nucleus is known by its first core pixel, row by row (without a core, by its first pixel). `find_instances` numbers
nuclei in this order, those without a core last; so the numbers of the whole image can be given when all are found.
"""

import io
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..model.instances import cut, fill_holes
from ..model.windows import Window
from .parts import CellJob, NucleiJob, around
from .workplace import Workplace, reached, workplace, write_whole

REACH = 128  # pixels around a block within which its nuclei are found together with it


@dataclass(frozen=True)
class Piece:
    """Nuclei of a window.

    Attributes:
        labels: (h, w), int32; 0 background, 1 .. n.
        keys: (n,), int64, increasing in the order in which `find_instances` numbers them on the whole image.
        areas: (n,), pixels.
    """

    window: Window
    labels: np.ndarray
    keys: np.ndarray
    areas: np.ndarray


def find_nuclei(job: NucleiJob) -> int:
    """Find the nuclei that begin in a block and save them. -> how many.

    Raises:
        ImageError: The image can't be read there.
    """
    work = workplace(job.folder, job.key)
    if is_whole(work, f"block-{job.block}"):
        return count(work, f"block-{job.block}")
    own = work.plan.grid.window(job.block)
    near = reached(own, work.plan.shape, REACH)
    boxes = [(slice(p[1], p[2]), slice(p[3], p[4])) for p in job.parts.tolist()]
    together = [i for i, box in enumerate(boxes) if _within(box, near)]
    pieces = [_cut(work, _around([own, *(boxes[i] for i in together)]), own, job.parts[together, 0])]
    for i in sorted(set(range(len(boxes))) - set(together)):
        pieces.append(_cut(work, boxes[i], None, job.parts[[i], 0]))
    return _save(work, f"block-{job.block}", pieces)


def find_nuclei_of_cell(job: CellJob) -> int:
    """Find the nuclei of a cell in parts too large to be held, and save them. -> how many.

    The cell's pixels are cut as its surroundings make them. A nucleus over the edge of two cells is found in both and
    known as one by its first core pixel. Pixels to which no core leads within the surroundings make one nucleus a part.
    """
    work = workplace(job.folder, job.key)
    name = f"cell-{job.cell}"
    if is_whole(work, name):
        return count(work, name)
    window, cell = around(work.plan, job.cell), work.plan.cells.window(job.cell)
    part = _parts_of(work, window, job.pieces)
    probability, distance = work.read_maps(window)
    labels = cut(part >= 0, distance, work.plan.settings.separation)
    keys = _keys(work, window, labels, distance, part)
    fill_holes(labels, probability > work.plan.settings.threshold)
    inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(cell, window, strict=True))
    found, inverse = np.unique(labels[inner], return_inverse=True)
    kept = inverse.reshape(labels[inner].shape).astype(np.int32) + (found[0] > 0)
    keys = keys[found[found > 0] - 1]
    # several parts of the window without a core may be of one part of the image
    keys, number = np.unique(keys, return_inverse=True)
    kept = np.concatenate([[0], number + 1]).astype(np.int32)[kept]
    return _save(work, name, [Piece(cell, kept, keys, _areas(kept, len(keys)))])


def load(work: Workplace, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Keys and areas of the nuclei saved under a name."""
    with np.load(work.nuclei_file(name)) as saved:
        return saved["keys"], saved["areas"]


def is_whole(work: Workplace, name: str) -> bool:
    """Whether nuclei are saved under a name and can be read; if they are and can't, they go."""
    path = work.nuclei_file(name)
    if not path.exists():
        return False
    try:
        with np.load(path) as saved:
            for array in saved.files:
                saved[array]
    except Exception:  # of any type: what damaged bytes come to depends on where they are
        path.unlink(missing_ok=True)
        return False
    return True


def count(work: Workplace, name: str) -> int:
    return len(load(work, name)[0])


def load_labels(work: Workplace, name: str, window: Window) -> list[tuple[Window, np.ndarray]]:
    """The windows of labels saved under a name that touch a window; the labels count through all of them, from 1."""
    found = []
    with np.load(work.nuclei_file(name)) as saved:
        for i, (top, bottom, left, right) in enumerate(saved["windows"].tolist()):
            box = slice(top, bottom), slice(left, right)
            if all(b.start < w.stop and w.start < b.stop for b, w in zip(box, window, strict=True)):
                found.append((box, saved[f"labels{i}"]))
    return found


# one window


def _cut(work: Workplace, window: Window, own: Window | None, firsts: np.ndarray) -> Piece:
    """Cut those parts of a window into nuclei that begin at a pixel of `firsts`, or lie within `own` and touch none of
    its edges but the image's. All of them lie whole in the window."""
    probability, distance = work.read_maps(window)
    settings, shape = work.plan.settings, work.plan.shape
    mask = probability > settings.threshold
    parts, n = ndimage.label(mask)
    wanted = np.zeros(n + 1, bool)
    y, x = np.divmod(firsts, shape[1])
    wanted[parts[y - window[0].start, x - window[1].start]] = True
    if own is not None:
        rows, cols = (
            slice(o.start - w.start + (o.start > 0), o.stop - w.start - (o.stop < length))
            for o, w, length in zip(own, window, shape, strict=True)
        )
        for part, box in enumerate(ndimage.find_objects(parts), 1):
            wanted[part] |= _within(box, (rows, cols))
    wanted[0] = False
    labels = cut(wanted[parts], distance, settings.separation)
    keys = _keys(work, window, labels, distance)
    fill_holes(labels, mask)
    return Piece(window, labels, keys, _areas(labels, len(keys)))


def _keys(
    work: Workplace, window: Window, labels: np.ndarray, distance: np.ndarray | None, part: np.ndarray | None = None
) -> np.ndarray:
    """The nuclei's keys, (n,): the number of the first core pixel in the image. Those of nuclei without a core follow
    all others: the image's size plus the number of the first pixel, of the nucleus or of the part that it belongs to.
    """
    height, width = work.plan.shape
    at = np.flatnonzero(labels)[::-1]
    label = labels.ravel()[at]
    row, col = np.divmod(at, labels.shape[1])
    pixel = (row + window[0].start) * width + col + window[1].start
    keys = np.zeros(labels.max(initial=0) + 1, np.int64)
    keys[label] = height * width + (pixel if part is None else part.ravel()[at])  # the last written is the first pixel
    if distance is not None:
        is_core = distance.ravel()[at] > work.plan.settings.separation
        keys[label[is_core]] = pixel[is_core]
    return keys[1:]


def _parts_of(work: Workplace, window: Window, pieces: np.ndarray) -> np.ndarray:
    """For each pixel of a window the first pixel of its part, if that is one of those given, else -1: (h, w) int64.

    Args:
        pieces: See `CellJob`.
    """
    out = np.full([w.stop - w.start for w in window], -1, np.int64)
    width = work.plan.shape[1]
    for block in np.unique(pieces[:, 0]):
        here = pieces[pieces[:, 0] == block]
        rows, cols = work.plan.grid.window(int(block))
        labels, n = ndimage.label(work.read_mask((rows, cols)))
        part = np.full(n + 1, -1, np.int64)
        y, x = np.divmod(here[:, 1], width)
        part[labels[y - rows.start, x - cols.start]] = here[:, 2]
        common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip((rows, cols), window, strict=True)]
        if all(c.start < c.stop for c in common):
            there = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(common, window, strict=True))
            mine = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(common, (rows, cols), strict=True))
            out[there] = part[labels[mine]]
    return out


def _areas(labels: np.ndarray, n: int) -> np.ndarray:
    """Pixels of the nuclei 1 .. n, (n,), int64."""
    return np.bincount(labels.ravel(), minlength=n + 1)[1:]


def _save(work: Workplace, name: str, pieces: list[Piece]) -> int:
    arrays: dict[str, np.ndarray] = {}
    n = 0
    for i, piece in enumerate(pieces):
        arrays[f"labels{i}"] = np.where(piece.labels > 0, piece.labels + n, 0).astype(np.int32)
        n += len(piece.keys)
    arrays["windows"] = np.array([[w.start, w.stop] for p in pieces for w in p.window], np.int64).reshape(-1, 4)
    arrays["keys"] = np.concatenate([p.keys for p in pieces])
    arrays["areas"] = np.concatenate([p.areas for p in pieces])
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # none is called allow_pickle
    write_whole(work.nuclei_file(name), file.getvalue())
    return n


def _within(box: Window, outer: Window) -> bool:
    return all(o.start <= b.start and b.stop <= o.stop for b, o in zip(box, outer, strict=True))


def _around(boxes: list[Window]) -> Window:
    rows, cols = (slice(min(b[i].start for b in boxes), max(b[i].stop for b in boxes)) for i in (0, 1))
    return rows, cols
