"""Nuclei of the frames of a film to tracks, by LapTrack, which is an extra.

LapTrack solves the linear assignment problem of Jaqaman et al. (Nature Methods 5, 695, 2008), as TrackMate does: first
between neighbouring frames, then between the ends and the beginnings of tracks. Its answer is numbered here, and a
division is believed only if both daughters are clearly smaller than their mother, and none is cut by the image's edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from networkx import DiGraph

MISSED = 1  # frames in a row in which a nucleus may not be found and is still the same one afterwards
DAUGHTER = 0.8  # the largest area of a daughter, relative to its mother's
NEEDED = 'Tracking needs one more package: pip install "nuclei-models[track]", or pip install laptrack.'

Node = tuple[int, int]  # a nucleus: its frame, and which of the frame's nuclei it is, from 0


@dataclass(frozen=True)
class Tracks:
    """The nuclei of a film, followed through it.

    Attributes:
        labels: Label images of the frames, (H, W) int64 each. A nucleus has the number of its track in every frame;
            numbers count from 1 without gaps, in the order in which tracks begin.
        parents: (tracks + 1,) int64: for each track the number of the one that it came from by division, or 0.
    """

    labels: list[np.ndarray]
    parents: np.ndarray


def check_trackable() -> None:
    """Raise ImportError, with what to do, where LapTrack isn't installed."""
    if find_spec("laptrack") is None:
        raise ImportError(NEEDED)


def track(frames: Sequence[np.ndarray], max_step: float | None = None) -> Tracks:
    """Give a nucleus one number through all frames of a film.

    A division ends a track and begins two. A nucleus that isn't found in one frame keeps its number in the next.

    Args:
        frames: Label images in their order, (H, W) integers each; 0 is background.
        max_step: The farthest that a nucleus moves between frames, pixels. `None`: the median diameter of all nuclei.

    Raises:
        ImportError: LapTrack isn't installed.
    """
    check_trackable()
    from skimage.measure import regionprops_table  # here, as scipy.spatial comes with it, which takes time

    found = [regionprops_table(labels, properties=("label", "centroid", "area", "bbox")) for labels in frames]
    centres = [np.stack([table["centroid-0"], table["centroid-1"]], axis=1) for table in found]
    known = [
        np.where(_cut(table, labels.shape), np.nan, table["area"]) for table, labels in zip(found, frames, strict=True)
    ]
    areas = {(t, i): float(area) for t, some in enumerate(known) for i, area in enumerate(some)}
    if not areas:
        return Tracks([np.zeros(labels.shape, np.int64) for labels in frames], np.zeros(1, np.int64))
    from laptrack import LapTrack  # here, for it takes seconds

    if max_step is None:
        max_step = float(np.median(2 * np.sqrt(np.concatenate([table["area"] for table in found]) / np.pi)))
    most = max_step**2
    # LapTrack would take the cost of no link from those of the links that there are, be they few
    no_link: dict[str, Any] = {
        f"{end}_cost": most for end in ("track_start", "track_end", "segment_start", "segment_end")
    }
    gaps: dict[str, Any] = {"gap_closing_cutoff": most, "gap_closing_max_frame_count": MISSED + 1}
    tracker = LapTrack(cutoff=most, splitting_cutoff=most, no_splitting_cost=most, **gaps, **no_link)
    numbers, parents = _numbered(tracker.predict(centres), centres, areas)
    labels = []
    for t, (frame, table) in enumerate(zip(frames, found, strict=True)):
        new = np.zeros(int(frame.max(initial=0)) + 1, np.int64)
        new[table["label"]] = [numbers[t, i] for i in range(len(table["label"]))]
        labels.append(new[frame])
    return Tracks(labels, parents)


def _numbered(
    tree: "DiGraph", centres: Sequence[np.ndarray], areas: Mapping[Node, float]
) -> tuple[dict[Node, int], np.ndarray]:
    """The number of each nucleus's track, and the tracks' parents.

    Args:
        tree: Of nuclei, from each to the one or two that follow it.
        areas: NaN where they aren't known; then there is no division.
    """
    numbers: dict[Node, int] = {}
    parents = [0]
    for node in sorted(tree):
        parent = 0
        for before in tree.predecessors(node):  # one at most
            heirs = sorted(tree.successors(before), key=lambda heir: _distance(centres, before, heir))
            if len(heirs) > 1 and all(areas[heir] <= DAUGHTER * areas[before] for heir in heirs):
                parent = numbers[before]
            elif node == heirs[0]:
                numbers[node] = numbers[before]
        if node not in numbers:
            numbers[node] = len(parents)
            parents.append(parent)
    return numbers, np.array(parents, np.int64)


def _cut(table: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Which nuclei touch the image's edge, so that their areas aren't known."""
    top, left, bottom, right = (table[f"bbox-{k}"] for k in range(4))
    return (top == 0) | (left == 0) | (bottom == shape[0]) | (right == shape[1])


def _distance(centres: Sequence[np.ndarray], a: Node, b: Node) -> float:
    return float(np.hypot(*(centres[a[0]][a[1]] - centres[b[0]][b[1]])))
