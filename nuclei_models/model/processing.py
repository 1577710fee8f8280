"""Pixels -> what a network sees, and logits -> maps -> nuclei: what the processor does, without transformers, which
takes seconds to be imported.
"""

from typing import Any

import numpy as np
import torch

from .channels import class_count
from .confidence import AGREEMENT, agreement, confidence, measured
from .diameter import scale_features
from .instances import find_instances, keep
from .intensity import intensity_range, is_grey, normalise, to_channels
from .maps import Maps, pixel_area, resize, smooth
from .scale import PICTURE_OUTLIERS, Belief, Diameter, Evidence, look_features, perceive
from .sureness import sure_enough
from .watershed import Ascent


class NucleiProcessing:
    """What [`NucleiImageProcessor`] does around a network, by its settings; `processor_settings.py` tells of them."""

    image_mean = 0.5
    image_std = 0.25
    low_percentile = 1.0
    high_percentile = 99.8
    diameter: float | None = None
    diameter_estimator: dict[str, Any] | None = None
    look_estimator: dict[str, Any] | None = None
    min_diameter = 16.0
    max_diameter = 36.0
    num_channels = 3
    channel_names = ("background", "nucleus", "border", "distance")
    distance_sigma = 0.0
    threshold = 0.5
    separation = 0.5
    min_area = 0.0
    confidence_model: dict[str, Any] | None = None
    least_confidence = 0.0

    def estimate_diameter(self, image: np.ndarray) -> float | None:
        """Typical nuclear diameter of an image (H, W[, C]) in pixels, or `None` where this processor can't tell."""
        return None if self.diameter_estimator is None else self.belief(self.normalised(image)).diameter

    def belief(self, normalised: np.ndarray, pixel_size: tuple[float, float] | None = None) -> Belief:
        """What the picture alone tells of its nuclear diameter.

        Args:
            normalised: (H, W, 3) float32, from `normalised`.
            pixel_size: Height and width of a pixel in micrometres, where they are known.
        """
        belief = Belief(pixel_size)
        if self.diameter_estimator is not None:
            belief.add(perceive(scale_features(normalised), self.diameter_estimator, PICTURE_OUTLIERS))
        return belief

    def look(self, seen: np.ndarray, logits: torch.Tensor, diameter: float) -> Evidence:
        """What the network's answer to an assumed diameter tells of the true one.

        Args:
            seen: (H, W, 3) float32, the image as the network saw it: normalised and rescaled.
            logits: (C, H, W), its answer.
            diameter: Pixels of the image, assumed.
        """
        if self.look_estimator is None:
            raise ValueError("This processor has no look_estimator: fit one with train.fit.scale.")
        maps = self.maps(logits)
        assumed = diameter * self.scale_for(diameter)
        features = look_features(seen, maps.probability, maps.distance, self.cut(maps), assumed)
        ratio = perceive(features, self.look_estimator)
        return ratio._replace(log2=ratio.log2 + float(np.log2(diameter)))

    def scale_for(self, diameter: float | None) -> float:
        """Factor that brings nuclei of this diameter (pixels) into the range that the network knows; 1 for `None`."""
        if diameter is None:
            return 1.0
        if not isinstance(diameter, int | float | np.number) or not 1 <= diameter < float("inf"):
            raise ValueError(f"diameter={diameter}: expected the nuclear diameter in pixels, at least 1.")
        return float(np.clip(diameter, self.min_diameter, self.max_diameter) / diameter)

    def prepare(self, image: np.ndarray, diameter: float | None = None) -> np.ndarray:
        """Normalise a whole image by its own percentiles and rescale it to nuclei that the network knows.

        Args:
            image: (H, W) or (H, W, C), any integer or float dtype.
            diameter: Typical nuclear diameter, pixels; `None` takes the processor's, and without one the estimate.

        Returns:
            (3, H', W'), float32; of another number of channels where the network takes another.
        """
        x = self.normalised(image)
        diameter = self.diameter if diameter is None else diameter
        if diameter is None and self.diameter_estimator is not None:
            diameter = self.belief(x).diameter
        return self.rescale(x, self.scale_for(diameter))

    def rescale(self, normalised: np.ndarray, scale: float) -> np.ndarray:
        """(H, W, 3) normalised to 0 .. 1 -> the network's (3, H', W'), float32, rescaled by `scale`."""
        once = self._once(normalised)
        x = self.standardise(normalised[..., :1] if once else normalised)
        if scale != 1:
            x = resize(torch.from_numpy(x), [max(1, round(n * scale)) for n in x.shape[1:]]).numpy()
        return np.repeat(x, normalised.shape[2], axis=0) if once else x

    def _once(self, normalised: np.ndarray) -> bool:
        """Whether all channels of (H, W, C) come to the same, see `is_grey`."""
        return is_grey(normalised) and np.size(self.image_mean) == np.size(self.image_std) == 1

    def standardise(self, normalised: np.ndarray) -> np.ndarray:
        """(H, W, C) normalised to 0 .. 1 -> the network's (C, H, W), float32, by `image_mean` and `image_std`."""
        mean, std = (np.asarray(value, np.float32) for value in (self.image_mean, self.image_std))
        if not {mean.size, std.size} <= {1, normalised.shape[2]}:
            raise ValueError(
                f"image_mean={self.image_mean}, image_std={self.image_std}: expected a number, or one for each of "
                f"{normalised.shape[2]} channels."
            )
        if self._once(normalised):
            return np.repeat(((normalised[..., 0] - mean) / std)[None], normalised.shape[2], axis=0)
        return np.ascontiguousarray(((normalised - mean) / std).transpose(2, 0, 1))

    def normalised(self, image: np.ndarray) -> np.ndarray:
        """(H, W[, C]) of any dtype -> (H, W, num_channels) float32, each channel's percentiles brought to 0 and 1."""
        x = to_channels(image, self.num_channels)
        return normalise(x, *intensity_range(x, self.low_percentile, self.high_percentile))

    # logits -> maps -> instances

    def maps(self, logits: torch.Tensor, size: tuple[int, int] | None = None, diameter: Diameter | None = None) -> Maps:
        """Logits of one image -> maps.

        Args:
            logits: (C, H', W'), any float dtype.
            size: (height, width) to bring the maps to, that of the image before rescaling.
            diameter: What was assumed, to be handed on.
        """
        names = list(self.channel_names)
        if len(logits) != len(names):
            raise ValueError(f"Logits of {len(logits)} channels: expected {len(names)}, {', '.join(names)}.")
        seen = logits.shape[1], logits.shape[2]
        logits = logits.detach().float()
        n = class_count(names)
        p = logits[0].sigmoid() if n == 1 else 1 - logits[:n].softmax(0)[0]
        maps = [p, *(smooth(m, self.distance_sigma) for m in logits[n:].sigmoid())]
        if size is not None and tuple(size) != seen:
            maps = list(resize(torch.stack(maps), list(size)))
        probability, *rest = (m.cpu().numpy() for m in maps)
        distance = rest[0] if rest else None
        return Maps(probability, distance, pixel_area(size or seen, seen), diameter or Diameter())

    def instances(
        self,
        maps: Maps,
        threshold: float | None = None,
        separation: float | None = None,
        min_area: float | None = None,
        least_confidence: float | None = None,
    ) -> np.ndarray:
        """Maps -> label image (H, W) int32: `cut`, then `sure_enough`."""
        self.least_applied(least_confidence)  # refused before the work
        return self.sure_enough(maps, self.cut(maps, threshold, separation, min_area), least_confidence)

    def cut(
        self,
        maps: Maps,
        threshold: float | None = None,
        separation: float | None = None,
        min_area: float | None = None,
        ascent: Ascent | None = None,
    ) -> np.ndarray:
        """Maps -> label image (H, W) int32 of all that may be nuclei, see `find_instances` and `cut_values`."""
        settings = self.cut_values(maps.pixel_area, threshold, separation, min_area)
        return find_instances(maps.probability, maps.distance, *settings, ascent)

    def sure_enough(
        self, maps: Maps, labels: np.ndarray, least_confidence: float | None = None, sure: np.ndarray | None = None
    ) -> np.ndarray:
        """Drop the nuclei that are more likely wrong than is good for the whole.

        Args:
            maps, labels: See `confidence`.
            least_confidence: Nuclei of a lower confidence are dropped, 0 .. 1; `None` takes the setting saved with the
                weights. Where no confidence was fitted, all are kept.
            sure: `confidence` of the labels, where it is known.

        Returns:
            (H, W), int32: the others, numbered 1 .. n in the same order.
        """
        least = self.least_applied(least_confidence)
        if sure is not None:
            enough = sure >= least
        elif least and self.confidence_model is not None:
            given = maps.probability, maps.distance, maps.pixel_area
            enough = sure_enough(self.confidence_model["alone"], least, labels, *given)
        else:
            return labels
        return keep(labels, np.concatenate([[False], enough]))

    def least_applied(self, least_confidence: float | None = None) -> float:
        """The confidence below which nuclei are dropped: what is given, else the setting saved with the weights.

        Raises:
            ValueError: It is out of range.
        """
        least = self.least_confidence if least_confidence is None else least_confidence
        if not isinstance(least, int | float | np.number) or not 0 <= least <= 1:
            raise ValueError(f"least_confidence={least!r}: expected a number from 0 to 1.")
        return float(least)

    def confidence(
        self, maps: Maps, labels: np.ndarray, other: np.ndarray | None = None, features: np.ndarray | None = None
    ) -> np.ndarray | None:
        """How sure one can be of each nucleus.

        Args:
            maps: What the network said of an image.
            labels: (H, W), integers: the nuclei that they were cut into; 0 is background, 1 .. n one number a nucleus.
            other: The same of a second network, if one was run.
            features: `confidence.measured` of the labels, where they are known.

        Returns:
            (n,), float64, in [0, 1]: the probability that the nucleus has a true partner at an IoU of 0.5; `None` where
            this was not fitted for these weights.
        """
        if self.confidence_model is None:
            return None
        rows = measured(labels, maps.probability, maps.distance, maps.pixel_area) if features is None else features
        if other is None or AGREEMENT not in self.confidence_model:
            return confidence(self.confidence_model["alone"], rows)
        return confidence(self.confidence_model[AGREEMENT], np.column_stack([rows, agreement(labels, other)]))

    def cut_values(
        self,
        pixel_area: float,
        threshold: float | None = None,
        separation: float | None = None,
        min_area: float | None = None,
    ) -> tuple[float, float, float]:
        """Threshold, separation and minimum area (pixels of the image) as `find_instances` takes them.

        Args:
            pixel_area: See `Maps`.
            threshold, separation, min_area: `None` takes the setting saved with the weights, a minimum area in
                proportion to `pixel_area`; one that is given is in pixels of the image.
        """
        return (
            self.threshold if threshold is None else threshold,
            self.separation if separation is None else separation,
            self.min_area * pixel_area if min_area is None else min_area,
        )
