"""From an image to nuclei: intensity, diameter, instances, tiles, and that every way in gives the same nuclei."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.analysis.measurements import measure
from nuclei_models.inference.segmentation import predict, segment
from nuclei_models.inference.tiling import predict_logits, tiles
from nuclei_models.model.diameter import scale_features
from nuclei_models.model.instances import drop_small, find_instances
from nuclei_models.model.intensity import intensity_range, normalise, to_rgb
from nuclei_models.model.scale import perceive
from nuclei_models.output.overlay import draw_overlay
from tests.support.blobs import blob_finder, blob_picture

ID2LABEL = {0: "background", 1: "nucleus", 2: "border", 3: "distance"}


def small_network(kind: str):
    torch.manual_seed(0)
    options = {"channels": [4, 6, 8, 10, 12], "id2label": ID2LABEL, "batch_norm": True}
    if kind == "unetpp":
        return UNetPlusPlus(UNetPlusPlusConfig(**options, deep_supervision=True)).eval()
    return UNet(UNetConfig(**options, padding=kind)).eval()


def discs(shape=(200, 300), radius=9, spacing=40, seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for number, (cy, cx) in enumerate(np.argwhere(np.ones((shape[0] // spacing, shape[1] // spacing))), 1):
        jitter = rng.integers(-4, 5, 2)
        labels[np.hypot(y - (cy + 0.5) * spacing - jitter[0], x - (cx + 0.5) * spacing - jitter[1]) < radius] = number
    return ((labels > 0) * 100 + rng.normal(20, 4, shape)).clip(0, 255).astype(np.uint8), labels


class TestIntensity:
    @pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 2), (5, 6, 3), (5, 6, 4)])
    def test_to_rgb(self, shape):
        image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
        rgb = to_rgb(image)
        assert rgb.shape == (5, 6, 3) and rgb.dtype == np.uint16
        assert np.array_equal(rgb[..., 0], image.reshape(5, 6, -1)[..., 0])

    @pytest.mark.parametrize("shape", [(5,), (5, 6, 7), (0, 6), (2, 5, 6, 3)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match="shape"):
            to_rgb(np.zeros(shape))

    def test_bit_depth_does_not_matter(self):
        image, _ = discs()
        seen = []
        for same in (
            image,
            image.astype(np.uint16) * 257,
            image.astype(np.float32) / 255,
            image.astype(np.int32) - 1000,
        ):
            rgb = to_rgb(same)
            seen.append(normalise(rgb, *intensity_range(rgb)))
        for other in seen[1:]:
            assert np.allclose(seen[0], other, atol=1e-3)

    @pytest.mark.parametrize("value", [0, 7.5, np.nan, np.inf])
    def test_constant_and_senseless_images(self, value):
        rgb = to_rgb(np.full((8, 8), value, np.float32))
        assert np.isfinite(normalise(rgb, *intensity_range(rgb))).all()

    def test_nan_pixels_do_not_spoil_the_others(self):
        image = discs()[0].astype(np.float32)
        spoilt = image.copy()
        spoilt[:3] = np.nan
        a, b = (normalise(to_rgb(x), *intensity_range(to_rgb(x))) for x in (image, spoilt))
        assert np.abs(a[3:] - b[3:]).max() < 0.1

    def test_noise_of_an_empty_channel_is_not_blown_up(self):
        rgb = np.zeros((50, 50, 3))
        rgb[..., 2] = discs((50, 50))[0]
        rgb[..., 0] = np.random.default_rng(0).random((50, 50))
        assert normalise(rgb, *intensity_range(rgb))[..., 0].std() < 0.05


class TestInstances:
    def test_touching_discs_come_apart(self):
        y, x = np.mgrid[:40, :60]
        d = [np.hypot(y - 20, x - cx) for cx in (20, 38)]
        probability = (np.minimum(*d) < 10).astype(np.float32)
        distance = np.clip(1 - np.minimum(*d) / 10, 0, 1)
        labels = find_instances(probability, distance)
        assert labels.max() == 2 and labels[20, 20] != labels[20, 38]
        assert find_instances(probability).max() == 1
        assert np.array_equal(labels > 0, probability > 0.5)

    def test_a_part_without_a_core_is_one_nucleus(self):
        probability = np.zeros((20, 20), np.float32)
        probability[2:6, 2:6] = probability[10:16, 10:16] = 1
        distance = np.zeros_like(probability)
        distance[12, 12] = 1
        assert find_instances(probability, distance).max() == 2

    def test_threshold_and_min_area(self):
        probability = np.zeros((20, 20), np.float32)
        probability[2:6, 2:6], probability[10:16, 10:16] = 0.4, 0.9
        assert find_instances(probability).max() == 1
        assert find_instances(probability, threshold=0.3).max() == 2
        assert find_instances(probability, threshold=0.3, min_area=17).max() == 1
        assert find_instances(probability, min_area=37).max() == 0

    def test_numbers_have_no_gaps(self):
        assert drop_small(np.array([[0, 3, 3], [9, 9, 9], [5, 0, 0]]), 2).tolist() == [[0, 1, 1], [2, 2, 2], [0, 0, 0]]

    def test_empty_map(self):
        assert find_instances(np.zeros((9, 9), np.float32), np.zeros((9, 9), np.float32)).max() == 0

    def test_maps_of_other_shapes(self):
        with pytest.raises(ValueError, match=r"\(4, 4\).*\(5, 5\)"):
            find_instances(np.zeros((4, 4)), np.zeros((5, 5)))


class TestTiles:
    @pytest.mark.parametrize("size", [(100, 130), (64, 64), (1, 300)])
    @pytest.mark.parametrize("tile", [1, 32, 50, 1000])
    def test_cores_cover_the_image_once(self, size, tile):
        seen = np.zeros(size, int)
        for core, window in tiles(size, tile, margin=20, stride=16):
            seen[core] += 1
            assert all(
                w.start % 16 == 0 and w.start <= c.start and c.stop <= w.stop for c, w in zip(core, window, strict=True)
            )
        assert (seen == 1).all()

    @pytest.mark.parametrize("kind", ["same", "mirror", "unetpp"])
    @pytest.mark.parametrize("tile", [40, 96, 200])
    def test_tiles_give_what_the_whole_image_gives(self, kind, tile):
        model, height = small_network(kind), 307 if tile > 40 else 131  # of small tiles there are many
        x = np.random.default_rng(0).normal(size=(3, height, 331)).astype(np.float32)
        whole = predict_logits(model, x, tile=1000, precision="float32")
        tiled = predict_logits(model, x, tile=tile, precision="float32")
        assert (whole - tiled).abs().max() < 1e-4 * whole.abs().max()
        # bfloat16 has 8 bits, and some processors take other kernels for windows of other sizes, which round otherwise
        assert (whole - predict_logits(model, x, tile=tile)).abs().max() < 0.05 * whole.abs().max()

    def test_progress_and_cancelling(self):
        calls = []
        predict_logits(small_network("same"), np.zeros((3, 100, 100), np.float32), 64, lambda *a: calls.append(a))
        parts = calls[0][1]
        assert calls[0] == (0, parts) and calls[-1] == (parts, parts) and calls == sorted(calls)
        assert {(k * parts // 4, parts) for k in range(5)} <= set(calls)  # four tiles

        def cancel(done, total):
            if done:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            predict_logits(small_network("same"), np.zeros((3, 100, 100), np.float32), 64, cancel)

    def test_a_network_that_loses_the_edge_is_refused(self):
        with pytest.raises(ValueError, match='padding="valid"'):
            predict_logits(small_network("valid"), np.zeros((3, 100, 100), np.float32))


class TestProcessor:
    def test_any_dtype_and_channels(self):
        processor = NucleiImageProcessor()
        image, _ = discs()
        for same in (image, image[..., None], Image.fromarray(image), image.astype(np.float64), np.dstack([image] * 4)):
            pixels = processor(same, return_tensors="pt").pixel_values
            assert pixels.shape == (1, 3, 200, 300) and pixels.dtype == torch.float32
        assert len(processor([image, image[:50]]).pixel_values) == 2

    @pytest.mark.parametrize(("diameter", "scale"), [(None, 1), (16, 1), (36, 1), (8, 2), (72, 0.5)])
    def test_rescaled_into_the_range_that_the_network_knows(self, diameter, scale):
        pixels = NucleiImageProcessor(diameter=diameter)(discs()[0], return_tensors="pt").pixel_values
        assert pixels.shape[2:] == (200 * scale, 300 * scale)

    @pytest.mark.parametrize("diameter", [0, -3, float("nan"), float("inf")])
    def test_senseless_diameters(self, diameter):
        with pytest.raises(ValueError, match="diameter="):
            NucleiImageProcessor().prepare(discs()[0], diameter)

    def test_settings_are_saved(self, tmp_path):
        NucleiImageProcessor(threshold=0.4, min_area=12.0, max_diameter=50.0).save_pretrained(tmp_path)
        processor = NucleiImageProcessor.from_pretrained(tmp_path)
        assert (processor.threshold, processor.min_area, processor.max_diameter) == (0.4, 12.0, 50.0)

    def test_the_fitted_minimum_area_goes_with_the_scale(self):
        processor = NucleiImageProcessor(channel_names=["background", "nucleus"], min_area=20.0)
        logits = torch.zeros(2, 30, 30)
        logits[0] = 9
        logits[0, 3:7, 3:7] = logits[0, 12:18, 12:18] = -9  # 16 and 36 pixels there, 4 times as many in the image
        maps = processor.maps(logits, (60, 60))
        assert maps.pixel_area == 4 and processor.maps(logits).pixel_area == 1
        assert processor.instances(maps).max() == processor.instances(processor.maps(logits)).max() == 1
        assert processor.instances(maps, min_area=20).max() == 2  # what is given is in pixels of the image

    def test_semantic(self):
        model, processor = small_network("same"), NucleiImageProcessor()
        outputs = model(**processor(discs()[0], return_tensors="pt"))
        (mask,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[(100, 150)])
        assert mask.shape == (100, 150) and set(mask.unique().tolist()) <= {0, 1}

    def test_one_target_size_an_image(self):
        outputs = small_network("same")(torch.zeros(2, 3, 32, 32))
        with pytest.raises(ValueError, match="1 target sizes for 2 images"):
            NucleiImageProcessor().post_process_instance_segmentation(outputs, target_sizes=[(5, 5)])

    def test_network_of_one_channel(self):
        finder, one = blob_finder("unet"), UNet(UNetConfig(channels=[4, 8], padding="same")).eval()
        one.load_state_dict({k: v for k, v in finder.state_dict().items() if "head" not in k}, strict=False)
        with torch.no_grad():  # the logit of "nucleus" is what the finder says of it less what it says of "background"
            one.head.weight.copy_(finder.head.weight[1:2] - finder.head.weight[:1])
            one.head.bias.copy_(finder.head.bias[1:2] - finder.head.bias[:1])
        found = segment(blob_picture(), one, NucleiImageProcessor(channel_names=["nucleus"]), precision="float32")
        assert found.maps.distance is None and found.count == 5
        two = NucleiImageProcessor(channel_names=["background", "nucleus", "border"])
        expected = predict(blob_picture(), finder, two, precision="float32").probability
        assert np.abs(found.maps.probability - expected).max() < 0.02  # the border has a share of its own there


class TestDiameter:
    weights = None

    def test_features_do_not_care_for_polarity_and_little_for_contrast(self):
        image = to_rgb(discs()[0].astype(np.float32) / 255)
        seen = normalise(image, *intensity_range(image))
        assert np.allclose(scale_features(seen), scale_features(1 - seen), atol=0.05)
        assert np.abs(scale_features(seen) - scale_features(seen * 0.7)).max() < 0.2

    def test_peak_moves_with_the_size(self):
        peaks = []
        for radius in (5, 10, 20):
            image, _ = discs((400, 400), radius, spacing=5 * radius)
            rgb = to_rgb(image)
            spectrum = scale_features(normalise(rgb, *intensity_range(rgb)))[:14]
            peaks.append(int(spectrum.argmax()))
        assert peaks[0] + 2 == peaks[1] == peaks[2] - 2  # two half-octaves to a doubling

    @pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 7), (1500, 1100)])
    def test_any_shape(self, shape):
        assert np.isfinite(scale_features(np.zeros((*shape, 3), np.float32))).all()

    def test_perceptron_by_hand(self):
        weights = {
            "mean": "1 0",
            "std": "1 1",
            "hidden": "1 0 0 1",
            "hidden_bias": "0 0",
            "out": "1 0 1 0",
            "out_bias": "3 -1",
        }
        evidence = perceive(np.array([2.0, -5.0]), weights, outliers=0.2)
        assert evidence == (pytest.approx(4), pytest.approx(np.exp(-1)), 0.2)

    def test_perceptron_of_version_0_1_tells_no_spread(self):
        weights = {
            "mean": "1 0",
            "std": "1 1",
            "hidden": "1 0 0 1",
            "hidden_bias": "0 0",
            "out": "1 1",
            "out_bias": "3",
        }
        assert perceive(np.array([2.0, -5.0]), weights).log2 == pytest.approx(4)


@pytest.mark.parametrize("kind", ["same", "mirror", "unetpp"])
class TestEveryWayGivesTheSameNuclei:
    def test_library_by_hand_and_pipeline(self, kind):
        model, processor = small_network(kind), NucleiImageProcessor(diameter=12.0)
        image, _ = discs()
        labels = segment(image, model, processor, precision="float32").labels
        assert labels.max() > 0

        outputs = model(**processor(image, return_tensors="pt"))
        by_hand = processor.post_process_instance_segmentation(outputs, threshold=0, target_sizes=[image.shape])[0]
        assert np.array_equal(by_hand["segmentation"].numpy(), labels)
        assert [s["id"] for s in by_hand["segments_info"]] == list(range(1, labels.max() + 1))

        pipe = pipeline("image-segmentation", model=model, image_processor=processor)
        found = pipe(Image.fromarray(image), subtask="instance", threshold=0.0)
        masks = [np.asarray(one["mask"]) > 0 for one in found]
        assert {one["label"] for one in found} == {"nucleus"}
        assert np.array_equal(sum(m * (k + 1) for k, m in enumerate(masks)), labels)

    def test_tile_size_does_not_matter(self, kind):
        model, processor = small_network(kind), NucleiImageProcessor()
        image, _ = discs((130, 330))
        a, b = (segment(image, model, processor, tile=t).labels for t in (64, 2000))
        assert (a != b).mean() < 1e-3

    def test_test_time_augmentation_is_symmetric(self, kind):
        model, processor = small_network(kind), NucleiImageProcessor()
        image = discs((96, 128))[0]
        a = predict(image, model, processor, tta=True).probability
        b = predict(image[::-1], model, processor, tta=True).probability[::-1]
        assert np.abs(a - b).max() < 1e-4


class TestMeasure:
    def test_columns_and_units(self):
        image, labels = discs()
        table = measure(labels, image, pixel_size=(0.5, 0.5))
        assert len({len(column) for column in table.values()}) == 1
        assert table["label"].tolist() == list(range(1, labels.max() + 1))
        assert table["area_px"][0] == (labels == 1).sum()
        assert table["area_um2"][0] == pytest.approx(table["area_px"][0] / 4)
        assert table["diameter_um"][0] == pytest.approx(9, rel=0.05)
        assert table["mean_intensity"][0] == pytest.approx(image[labels == 1].mean())

    def test_nothing_found(self):
        assert len(measure(np.zeros((9, 9), np.int32))["label"]) == 0


@pytest.mark.parametrize("wrong", [{"min_area": np.inf}, {"threshold": 2}, {"separation": -1}])
def test_a_setting_that_cannot_be_is_refused_before_the_network_works(wrong, monkeypatch):
    model = small_network("same")
    monkeypatch.setattr(UNet, "forward", lambda *_, **__: pytest.fail("it works"))
    with pytest.raises(ValueError, match=next(iter(wrong))):
        segment(np.zeros((9, 9)), model, NucleiImageProcessor(), **wrong)


def test_overlay_touches_only_nuclei():
    image, labels = discs()
    picture = np.ascontiguousarray(to_rgb(image))
    drawn = draw_overlay(picture, labels)
    changed = (drawn != picture).any(-1)
    assert not changed[labels == 0].any() and changed[labels > 0].mean() > 0.95


def test_transparency_is_no_brightness():
    """A fourth channel is dropped by the network, and so by the measurements."""
    labels = np.zeros((8, 8), np.int32)
    labels[2:5, 2:5] = 1
    colours = np.random.default_rng(0).integers(0, 200, (8, 8, 3)).astype(np.uint8)
    with_alpha = np.dstack([colours, np.full((8, 8), 255, np.uint8)])
    for name, column in measure(labels, colours).items():
        assert np.array_equal(column, measure(labels, with_alpha)[name]), name
