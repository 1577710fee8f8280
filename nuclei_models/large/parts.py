"""Connected parts of the mask that reach over the edge of a block: which pieces in which blocks belong together.

What a connected part of the mask becomes depends on nothing outside its box (`instances.py`). So an image can be cut
into nuclei part by part, without seams: a part that lies within a block, by that block; one that crosses edges, by the
block that holds its first pixel, once its box is known; and one too large to be held, cell by cell (`nuclei.py`).
Blocks are no larger than what can be held, so that parts too large cross an edge.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..model.windows import Window
from .workplace import Grid, Plan, reached, workplace

SIDES = ((0, slice(None)), (-1, slice(None)), (slice(None), 0), (slice(None), -1))  # top, bottom, left, right


@dataclass(frozen=True)
class EdgesJob:
    """A block whose edges are wanted."""

    folder: str
    key: str
    block: int


@dataclass(frozen=True)
class Edges:
    """The pieces of the mask that touch the edges of a block, the image's own edges aside.

    Attributes:
        sides: Top, bottom, left and right row of pixels: 0 or the number, from 1, of the piece there, int32.
        boxes: (n, 4), int64: first and last row plus one, first and last column plus one, in the image.
        first: (n,), int64: of each piece the first pixel, row by row, as its number in the image.
    """

    block: int
    sides: tuple[np.ndarray, ...]
    boxes: np.ndarray
    first: np.ndarray


def find_edges(job: EdgesJob) -> Edges:
    """The pieces at a block's edges, from its maps."""
    work = workplace(job.folder, job.key)
    window, shape = work.plan.grid.window(job.block), work.plan.shape
    return edges_of(job.block, work.read_mask(window), window, shape)


def edges_of(block: int, mask: np.ndarray, window: Window, shape: tuple[int, int]) -> Edges:
    """See `find_edges`; `mask` is the window's."""
    pieces, _ = ndimage.label(mask)
    rows, cols = window
    is_inner = (rows.start > 0, rows.stop < shape[0], cols.start > 0, cols.stop < shape[1])
    sides = [
        pieces[side] if inner else np.zeros_like(pieces[side]) for side, inner in zip(SIDES, is_inner, strict=True)
    ]
    there = np.unique(np.concatenate(sides))
    there = there[there > 0]
    number = np.zeros(pieces.max(initial=0) + 1, np.int32)
    number[there] = np.arange(1, len(there) + 1)
    all_boxes = ndimage.find_objects(pieces)
    boxes, first = np.zeros((len(there), 4), np.int64), np.zeros(len(there), np.int64)
    for i, piece in enumerate(there):
        y, x = all_boxes[piece - 1]
        boxes[i] = (y.start + rows.start, y.stop + rows.start, x.start + cols.start, x.stop + cols.start)
        left = x.start + int(np.argmax(pieces[y.start, x] == piece))
        first[i] = (y.start + rows.start) * shape[1] + left + cols.start
    return Edges(block, tuple(number[side] for side in sides), boxes, first)


@dataclass(frozen=True)
class Parts:
    """The parts that touch edges of blocks, of the whole image, n of m pieces.

    Attributes:
        boxes, first: As in `Edges`, of each part.
        piece_block, piece_part, piece_box, piece_first: Of each piece its block, its part, its box and first pixel.
    """

    boxes: np.ndarray
    first: np.ndarray
    piece_block: np.ndarray
    piece_part: np.ndarray
    piece_box: np.ndarray
    piece_first: np.ndarray


def join(grid: Grid, edges: list[Edges]) -> Parts:
    """Join pieces of neighbouring blocks that touch each other.

    Args:
        edges: Of all blocks, in their order.
    """
    offset = np.concatenate([[0], np.cumsum([len(e.first) for e in edges])])
    pairs = [np.zeros((2, 0), np.int64)]
    for block, own in enumerate(edges):
        right, below = block + 1, block + grid.across
        neighbours = [(1, below, 0)] if below < len(edges) else []
        neighbours += [(3, right, 2)] if right % grid.across else []
        for side, other, facing in neighbours:
            a, b = own.sides[side], edges[other].sides[facing]
            meet = (a > 0) & (b > 0)
            both = np.stack([a[meet] - 1 + offset[block], b[meet] - 1 + offset[other]])
            pairs.append(np.unique(both, axis=1))
    i, j = np.concatenate(pairs, axis=1)
    n = int(offset[-1])
    if n == 0:
        return Parts(np.zeros((0, 4), np.int64), *(np.zeros(0, np.int64),) * 3, np.zeros((0, 4), np.int64), offset[:0])
    boxes = np.concatenate([np.zeros((0, 4), np.int64), *(e.boxes for e in edges)])
    first = np.concatenate([np.zeros(0, np.int64), *(e.first for e in edges)])
    count, part = connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n)), directed=False)
    part_boxes = np.tile(np.array([np.iinfo(np.int64).max, 0], np.int64), (count, 2))
    part_first = np.full(count, np.iinfo(np.int64).max)
    for column, extreme in enumerate((np.minimum, np.maximum) * 2):
        extreme.at(part_boxes[:, column], part, boxes[:, column])
    np.minimum.at(part_first, part, first)
    block_of_piece = np.repeat(np.arange(len(edges)), np.diff(offset))
    return Parts(part_boxes, part_first, block_of_piece, part, boxes, first)


@dataclass(frozen=True)
class NucleiJob:
    """A block whose nuclei are wanted.

    Attributes:
        parts: (n, 5), int64: first pixel and box of the parts that cross its edges and begin in it.
    """

    folder: str
    key: str
    block: int
    parts: np.ndarray


@dataclass(frozen=True)
class CellJob:
    """A cell of the parts that are too large to be held.

    Attributes:
        cell: Its number in `Plan.cells`.
        pieces: (n, 3), int64: of their pieces in and around the cell the block, the first pixel, and the part's first.
    """

    folder: str
    key: str
    cell: int
    pieces: np.ndarray


@dataclass(frozen=True)
class Work:
    """What the parts come to.

    Attributes:
        nuclei: A job for each block.
        cells: A job for each cell that has pixels of parts too large to be held.
        guests: For each block the other blocks whose nuclei reach into it.
        too_large: How many parts are.
    """

    nuclei: list[NucleiJob]
    cells: list[CellJob]
    guests: list[list[int]]
    too_large: int


def share_out(folder: str, key: str, plan: Plan, parts: Parts) -> Work:
    """Give each part to the block that holds its first pixel, and those too large to cells."""
    grid, width = plan.grid, plan.shape[1]
    sides = parts.boxes[:, 1::2] - parts.boxes[:, ::2]
    is_large = (sides > plan.largest_part).any(1)
    y, x = np.divmod(parts.first, width)
    owner = np.where(is_large, -1, y // grid.side * grid.across + x // grid.side)
    order = np.argsort(owner, kind="stable")
    at = np.searchsorted(owner[order], np.arange(len(grid) + 1))
    table = np.column_stack([parts.first, parts.boxes])[order]
    nuclei = [NucleiJob(folder, key, b, table[at[b] : at[b + 1]]) for b in range(len(grid))]
    owner_of_piece = owner[parts.piece_part]
    is_guest = (owner_of_piece >= 0) & (owner_of_piece != parts.piece_block)
    guests: list[list[int]] = [[] for _ in range(len(grid))]
    for block, other in np.unique(np.stack([parts.piece_block[is_guest], owner_of_piece[is_guest]]), axis=1).T:
        guests[block].append(int(other))
    return Work(nuclei, _cell_jobs(folder, key, plan, parts, is_large), guests, int(is_large.sum()))


def _cell_jobs(folder: str, key: str, plan: Plan, parts: Parts, is_large: np.ndarray) -> list[CellJob]:
    large = np.flatnonzero(is_large[parts.piece_part])
    boxes = parts.piece_box[large]
    table = np.column_stack([parts.piece_block[large], parts.piece_first[large], parts.first[parts.piece_part[large]]])
    cells = sorted({c for b in boxes for c in plan.cells.touched((slice(b[0], b[1]), slice(b[2], b[3])))})
    jobs = []
    for cell in cells:
        rows, cols = around(plan, cell)
        near = (boxes[:, 0] < rows.stop) & (boxes[:, 1] > rows.start)
        near &= (boxes[:, 2] < cols.stop) & (boxes[:, 3] > cols.start)
        jobs.append(CellJob(folder, key, int(cell), table[near]))
    return jobs


def around(plan: Plan, cell: int) -> Window:
    """A cell and what is seen around it: a quarter of its side."""
    return reached(plan.cells.window(cell), plan.shape, max(plan.cells.side // 4, 1))
