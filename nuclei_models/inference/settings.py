"""The settings of a segmentation, said once: what the network is to do, and how its maps are cut into nuclei.

The library's `segment`, the command line, the page, its endpoint and runs over large images all take these.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunSettings:
    """What the network is to do with an image. A change of any of these makes it run again.

    Attributes:
        diameter: Typical nuclear diameter, pixels; `None` has it estimated from each image.
        tta: Test-time augmentation: the mean over the 8 symmetries of the square, at 8 times the cost.
        level: Of a pruned U-Net++, 1 .. depth; `None` is the whole network. A U-Net has no levels.
        tile: Pixels; larger images are seen tile by tile, with the same result. `None` leaves it to the memory at hand.
        precision: "auto", "float32" or "bfloat16", see `Runtime`.
    """

    diameter: float | None = None
    tta: bool = False
    level: int | None = None
    tile: int | None = None
    precision: str = "auto"

    def for_predict(self) -> dict[str, Any]:
        """These as keyword arguments of `predict`; the level says which network that is given."""
        names = ("diameter", "tta", "tile", "precision")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Cut:
    """How maps are cut into nuclei, see `find_instances`. A change needs no network.

    `None` is the setting that was fitted and saved with the weights.

    Attributes:
        threshold: Probability above which a pixel is nucleus, 0 .. 1.
        separation: Higher cuts touching nuclei apart more, 0 .. 1.
        min_area: Smaller nuclei are dropped, pixels of the image. The fitted one is in proportion to the nuclei.
        least_confidence: Less sure nuclei are dropped, 0 .. 1; see `NucleiImageProcessor.sure_enough`.
    """

    threshold: float | None = None
    separation: float | None = None
    min_area: float | None = None
    least_confidence: float | None = None

    def for_processor(self) -> dict[str, float | None]:
        """These as keyword arguments of `NucleiImageProcessor.cut` and `cut_values`."""
        return {"threshold": self.threshold, "separation": self.separation, "min_area": self.min_area}
