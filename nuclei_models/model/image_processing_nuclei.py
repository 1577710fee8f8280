"""Pixels -> tensor, and logits -> maps -> instances: everything around the network, as a transformers image processor.
What it does lies in `processing.py`; here is how transformers asks for it.

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
from transformers.processing_utils import ImagesKwargs, Unpack

from .collation import collate
from .intensity import pixels_of
from .maps import Maps
from .processing import NucleiProcessing
from .processor_settings import OF_THE_IMAGE, NucleiSettings, refuse_late, refuse_sizes, refuse_steps
from .targets import targets_of


class NucleiImageProcessorKwargs(NucleiSettings, ImagesKwargs, total=False):
    """Settings of [`NucleiImageProcessor`], beyond transformers' own those of `NucleiSettings`."""


class NucleiImageProcessor(NucleiProcessing, PilBackend):
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

__all__ = ["NucleiImageProcessor"]
