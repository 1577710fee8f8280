"""Pixels -> tensor, and logits -> maps -> instances: everything around the network, as a transformers image processor.

Its settings (normalisation, the range of diameters the network was trained for, thresholds) are saved with the weights
in `preprocessor_config.json`.
"""

import copy
from typing import Any

import numpy as np
import torch
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_base import BatchFeature
from transformers.image_utils import ImageInput
from transformers.processing_utils import Unpack

from .collation import collate
from .confidence import AGREEMENT, agreement, confidence, measured
from .diameter import scale_features
from .instances import find_instances, keep
from .intensity import intensity_range, normalise, pixels_of, to_channels
from .losses import class_count
from .maps import Maps, pixel_area, resize, smooth
from .processor_settings import OF_THE_IMAGE, NucleiImageProcessorKwargs, refuse_late, refuse_sizes, refuse_steps
from .scale import PICTURE_OUTLIERS, Belief, Diameter, Evidence, look_features, perceive
from .targets import targets_of


class NucleiImageProcessor(PilBackend):
    """Prepares microscopy images for [`UNet`] and [`UNetPlusPlus`], and turns their logits into nuclei.

    Example:
        >>> inputs = processor(image, return_tensors="pt")
        >>> outputs = model(**inputs)
        >>> result = processor.post_process_instance_segmentation(outputs, target_sizes=[image.shape[:2]])[0]
        >>> result["segmentation"]  # (H, W), 0 is background
    """

    valid_kwargs = NucleiImageProcessorKwargs
    model_input_names = ["pixel_values"]
    do_convert_rgb = False  # `pixels_of` and `to_channels` do it, at any bit depth
    do_resize = False
    do_rescale = False
    do_normalize = True
    image_mean = 0.5
    image_std = 0.25
    low_percentile = 1.0
    high_percentile = 99.8
    diameter = None
    diameter_estimator = None
    look_estimator = None
    min_diameter = 16.0
    max_diameter = 36.0
    num_channels = 3
    channel_names = ("background", "nucleus", "border", "distance")
    distance_sigma = 0.0
    threshold = 0.5
    separation = 0.5
    min_area = 0.0
    confidence_model = None
    least_confidence = 0.0

    def __init__(self, **kwargs: Unpack[NucleiImageProcessorKwargs]):
        super().__init__(**kwargs)

    # pixels -> tensor

    def preprocess(
        self,
        images: ImageInput,
        segmentation_maps: ImageInput | None = None,
        **kwargs: Unpack[NucleiImageProcessorKwargs],
    ) -> BatchFeature:
        """Normalise an image, or several, by its own percentiles, and rescale it if its nuclei ask for it.

        Args:
            images: (H, W) or (H, W, C) arrays of any integer or float dtype, PIL images of any mode, or a list of them.
            segmentation_maps: The truth, to train on: for each image a label image, (H, W) integers or a PIL image, in
                which 0 is background, every nucleus has a number, and -1 is where nobody knows.
            kwargs: Settings for this call. Those of what follows the network are refused.

        Returns:
            `pixel_values`: (B, 3, H', W') float32, with `return_tensors`; else a list of (3, H', W') arrays. With
            `segmentation_maps` also `labels`, rescaled alike: (B, len(channel_names), H', W') float32, or a list, the
            network's `labels`. Images and labels of unequal sizes go into a batch by `collate`.

        Raises:
            ValueError: An image or label image of another shape, or a setting that is out of range or has no meaning.
        """
        refuse_late(kwargs)
        return super().preprocess(images, segmentation_maps, **kwargs)

    def _standardize_kwargs(self, **kwargs: Any) -> dict:
        refuse_steps(kwargs)
        return super()._standardize_kwargs(**kwargs)

    def _prepare_images_structure(self, images: ImageInput, **kwargs) -> list:
        """One image or several -> a list; unlike transformers' own, a plain (H, W) array is an image too."""
        images = self.fetch_images(images)
        several = isinstance(images, list | tuple) or getattr(images, "ndim", 0) == 4
        return list(images) if several else [images]

    def _preprocess_image_like_inputs(
        self, images: ImageInput, segmentation_maps: ImageInput | None = None, *, return_tensors=None, **settings: Any
    ) -> BatchFeature:
        with_settings = copy.copy(self)
        vars(with_settings).update({name: settings[name] for name in OF_THE_IMAGE})
        pixels = [pixels_of(image) for image in self._prepare_images_structure(images)]
        data = {"pixel_values": [with_settings.prepare(image) for image in pixels]}
        if segmentation_maps is not None:
            several = isinstance(segmentation_maps, list | tuple)
            several |= np.ndim(segmentation_maps) > 2 and not len(pixels) == 1 < len(segmentation_maps)
            truth = list(segmentation_maps) if several else [segmentation_maps]
            if len(truth) != len(pixels):
                raise ValueError(f"{len(truth)} segmentation maps for {len(pixels)} images: give one each.")
            data["labels"] = [
                targets_of(np.asarray(labels), image.shape[:2], x.shape[1:], list(with_settings.channel_names))
                for labels, image, x in zip(truth, pixels, data["pixel_values"], strict=True)
            ]
        if return_tensors is not None:
            refuse_sizes([x.shape[1:] for x in data["pixel_values"]])
        return BatchFeature(data=data, tensor_type=return_tensors)

    collate = staticmethod(collate)

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
        x = self.standardise(normalised)
        if scale != 1:
            x = resize(torch.from_numpy(x), [max(1, round(n * scale)) for n in x.shape[1:]]).numpy()
        return x

    def standardise(self, normalised: np.ndarray) -> np.ndarray:
        """(H, W, C) normalised to 0 .. 1 -> the network's (C, H, W), float32, by `image_mean` and `image_std`."""
        mean, std = (np.asarray(value, np.float32) for value in (self.image_mean, self.image_std))
        if not {mean.size, std.size} <= {1, normalised.shape[2]}:
            raise ValueError(
                f"image_mean={self.image_mean}, image_std={self.image_std}: expected a number, or one for each of "
                f"{normalised.shape[2]} channels."
            )
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
    ) -> np.ndarray:
        """Maps -> label image (H, W) int32 of all that may be nuclei, see `find_instances` and `cut_values`."""
        settings = self.cut_values(maps.pixel_area, threshold, separation, min_area)
        return find_instances(maps.probability, maps.distance, *settings)

    def sure_enough(self, maps: Maps, labels: np.ndarray, least_confidence: float | None = None) -> np.ndarray:
        """Drop the nuclei that are more likely wrong than is good for the whole.

        Args:
            maps, labels: See `confidence`.
            least_confidence: Nuclei of a lower confidence are dropped, 0 .. 1; `None` takes the setting saved with the
                weights. Where no confidence was fitted, all are kept.

        Returns:
            (H, W), int32: the others, numbered 1 .. n in the same order.
        """
        least = self.least_applied(least_confidence)
        sure = self.confidence(maps, labels) if least else None
        return labels if sure is None else keep(labels, np.concatenate([[False], sure >= least]))

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

    def post_process_semantic_segmentation(
        self, outputs, target_sizes: list[tuple] | None = None
    ) -> list[torch.Tensor]:
        """Logits -> (H, W) int64 maps a image: 0 background, 1 nucleus."""
        return [
            torch.from_numpy((self.maps(logits, size).probability > self.threshold).astype(np.int64))
            for logits, size in self._each(outputs, target_sizes)
        ]

    def post_process_instance_segmentation(
        self,
        outputs,
        threshold: float = 0.5,
        mask_threshold: float | None = None,
        overlap_mask_area_threshold: float = 0.8,
        target_sizes: list[tuple] | None = None,
    ) -> list[dict]:
        """Logits -> nuclei.

        transformers' pipeline passes threshold 0.9 and mask_threshold 0.5 unless told otherwise. Both scales are laid
        so that these give exactly the nuclei of `instances`.

        Args:
            outputs: The network's.
            threshold: Nuclei whose score is not above it are dropped. Scores run from 0.9 to 1, in proportion to the
                confidence: 0.98 is a confidence of 0.8. Where no confidence was fitted, the mean probability takes its
                place: 0 where all of the nucleus lies at the threshold, 1 where the network is sure of every pixel.
            mask_threshold: Probability above which a pixel is nucleus, on a scale where 0.5 is the fitted threshold
                (0 and 1 remain); `None` is 0.5.
            overlap_mask_area_threshold: Taken for the sake of the interface; instances never overlap here.
            target_sizes: (height, width) of each image before rescaling.

        Returns:
            For each image `segmentation`, (H, W) int32, 0 is background, and `segments_info`, a list of `id`,
            `label_id` (nucleus), `was_fused` and `score`, and `confidence` where it was fitted.

        Raises:
            ValueError: mask_threshold is outside 0 .. 1, or there are other than one target size an image.
        """
        cut = self._probability_at(0.5 if mask_threshold is None else mask_threshold)
        label_id = list(self.channel_names).index("nucleus")
        results = []
        for logits, size in self._each(outputs, target_sizes):
            maps = self.maps(logits, size)
            labels = self.instances(maps, threshold=cut)
            sure = self.confidence(maps, labels)
            score = 0.9 + 0.1 * (_mean_above(maps, labels, cut) if sure is None else sure)
            keep = np.concatenate([[False], score > threshold])
            segments = [
                {"id": int(i), "label_id": label_id, "was_fused": False, "score": round(float(score[i - 1]), 6)}
                | ({} if sure is None else {"confidence": round(float(sure[i - 1]), 4)})
                for i in np.flatnonzero(keep)
            ]
            results.append({"segmentation": torch.from_numpy(labels * keep[labels]), "segments_info": segments})
        return results

    def _probability_at(self, mask_threshold: float) -> float:
        """0 .. 0.5 .. 1 -> 0 .. the fitted threshold .. 1, linear between."""
        if not 0 <= mask_threshold <= 1:
            raise ValueError(f"mask_threshold={mask_threshold}: expected 0 to 1; 0.5 is the fitted threshold.")
        low = min(mask_threshold, 0.5) * 2 * self.threshold
        return low + max(mask_threshold - 0.5, 0) * 2 * (1 - self.threshold)

    @staticmethod
    def _each(outputs, target_sizes):
        sizes = [None] * len(outputs.logits) if target_sizes is None else target_sizes
        if len(sizes) != len(outputs.logits):
            raise ValueError(f"{len(sizes)} target sizes for {len(outputs.logits)} images: give one each.")
        return zip(outputs.logits, [None if s is None else tuple(int(n) for n in s) for s in sizes], strict=True)


def _mean_above(maps: Maps, labels: np.ndarray, cut: float) -> np.ndarray:
    """Mean probability of each nucleus, from the threshold (0) to 1: (n,)."""
    area = np.maximum(np.bincount(labels.ravel()), 1)
    mean = np.bincount(labels.ravel(), weights=maps.probability.ravel()) / area
    return (mean[1:] - cut) / max(1 - cut, 1e-9)


NucleiImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["Maps", "NucleiImageProcessor", "pixel_area"]
