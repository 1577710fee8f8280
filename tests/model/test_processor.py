"""The processor as transformers' users call it: images of every kind, settings for one call, truth to train on."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from skimage import measure
from torch.utils.data import DataLoader

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, read, segment
from nuclei_models.model.intensity import pixels_of
from nuclei_models.model.losses import IGNORED, segmentation_loss
from nuclei_models.model.targets import make_targets
from tests.support.blobs import blob_finder, blob_picture

NAMES = ["background", "nucleus", "border", "distance"]
COLOURS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
PICTURE = blob_picture()
TRUTH = measure.label(PICTURE[..., 0] > 100)


def of_mode(mode: str) -> Image.Image:
    image = Image.fromarray(COLOURS)
    if mode == "LAB":
        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, *spaces, outputMode="LAB")
    if mode == "I;16":
        return Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 200)
    return image.convert("P").convert(mode) if mode == "PA" else image.convert(mode)


class TestImagesOfEveryKind:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "I", "F"])
    def test_a_pil_image_is_what_its_file_is(self, mode, tmp_path):
        path = tmp_path / f"a.{'tif' if mode in ('CMYK', 'I', 'F') else 'png'}"
        of_mode(mode).save(path)
        expected = read(path).pixels
        with Image.open(path) as image:
            assert image.mode == mode
            assert np.array_equal(pixels_of(image), expected) and pixels_of(image).shape == expected.shape
            processor = NucleiImageProcessor()
            assert np.array_equal(processor(image)["pixel_values"][0], processor(expected)["pixel_values"][0])

    @pytest.mark.parametrize(("mode", "off"), [("YCbCr", 3), ("HSV", 12), ("LAB", 32), ("RGBX", 0), ("RGBa", 0)])
    def test_other_colour_spaces_become_rgb(self, mode, off):
        found = pixels_of(of_mode("RGBA").convert(mode) if mode == "RGBa" else of_mode(mode))
        assert found.shape == COLOURS.shape and np.abs(found.astype(int) - COLOURS).max() <= off

    @pytest.mark.parametrize("mode", ["PA", "La"])
    def test_transparency_is_ignored(self, mode):
        image = of_mode("LA").convert(mode) if mode == "La" else of_mode(mode)
        assert pixels_of(image).shape[:2] == (20, 24)

    def test_segment_takes_them_too(self):
        model, processor = blob_finder("unet"), NucleiImageProcessor(channel_names=["background", "nucleus", "border"])
        of_array = segment(PICTURE, model, processor).labels
        assert of_array.max() == 5
        assert np.array_equal(segment(Image.fromarray(PICTURE), model, processor).labels, of_array)
        assert np.array_equal(segment(Image.fromarray(PICTURE[..., 0]).convert("P"), model, processor).labels, of_array)


class TestChannels:
    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_a_network_of_another_number_of_channels(self, count):
        model = UNet(UNetConfig(channels=[2, 4], padding="same", num_channels=count, num_labels=4))
        processor = NucleiImageProcessor(num_channels=count)
        image = np.random.default_rng(0).integers(0, 999, (30, 40, count), dtype=np.uint16)
        inputs = processor(image, return_tensors="pt", diameter=48)
        assert inputs["pixel_values"].shape == (1, count, 22, 30)
        with torch.inference_mode():
            outputs = model.eval()(**inputs)
        [semantic] = processor.post_process_semantic_segmentation(outputs, target_sizes=[(30, 40)])
        maps = segment(image, model, processor, diameter=48, precision="float32").maps
        assert np.array_equal(semantic.numpy() > 0, maps.probability > 0.5)
        with pytest.raises(ValueError, match=rf"expected {count} channels?, which"):
            segment(np.zeros((30, 40, 3)), model, processor)

    def test_a_grey_image_for_one_channel(self):
        assert NucleiImageProcessor(num_channels=1)(COLOURS[..., 0])["pixel_values"][0].shape == (1, 20, 24)


class TestSettingsOfACall:
    @pytest.mark.parametrize(
        "given",
        [
            {"high_percentile": 90},
            {"low_percentile": 10.0},
            {"diameter": 12},
            {"diameter": 12.0, "min_diameter": 18},
            {"diameter": 48, "max_diameter": 24},
            {"image_mean": 0.25},
            {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 0.2]},
        ],
        ids=str,
    )
    def test_are_as_those_of_the_processor(self, given):
        usual, changed = NucleiImageProcessor(), NucleiImageProcessor(**given)
        x = usual(COLOURS, **given)["pixel_values"][0]
        assert np.array_equal(x, changed(COLOURS)["pixel_values"][0])
        assert not np.array_equal(x, usual(COLOURS)["pixel_values"][0]), "the setting changed nothing"

    def test_mean_and_deviation_of_each_channel(self):
        plain = NucleiImageProcessor(image_mean=0.0, image_std=1.0)(COLOURS)["pixel_values"][0]
        mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 0.2]
        x = NucleiImageProcessor(image_mean=mean, image_std=std)(COLOURS)["pixel_values"][0]
        for channel in range(3):
            assert np.allclose(x[channel], (plain[channel] - mean[channel]) / std[channel], atol=1e-6)

    def test_lists_are_saved(self, tmp_path):
        NucleiImageProcessor(image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path)
        again = NucleiImageProcessor.from_pretrained(tmp_path)
        assert list(again.image_mean) == [0.1, 0.2, 0.3]

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"do_normalize": False}, "do_normalize=False: expected True"),
            ({"do_resize": True}, "do_resize=True: expected False"),
            ({"size": {"height": 96, "width": 96}}, "size=.*expected None"),
            ({"do_rescale": True}, "do_rescale=True: expected False"),
            ({"do_pad": True}, "do_pad=True: expected False"),
            ({"data_format": "channels_last"}, "data_format=.*expected channels_first"),
            ({"image_mean": [0.5, 0.5]}, "expected a number, or one for each of 3 channels"),
        ],
    )
    def test_steps_that_there_are_not(self, given, sentence):
        with pytest.raises(ValueError, match=sentence):
            NucleiImageProcessor()(COLOURS, **given)
        with pytest.raises(ValueError, match=sentence):
            NucleiImageProcessor(**given)(COLOURS)

    @pytest.mark.parametrize("name", ["threshold", "separation", "min_area", "distance_sigma"])
    def test_what_follows_the_network(self, name):
        with pytest.raises(ValueError, match=f"processor.{name} = .."):
            NucleiImageProcessor()(COLOURS, **{name: 0.3})

    def test_images_that_come_out_at_different_sizes(self):
        images = [COLOURS, COLOURS[:10]]
        with pytest.raises(ValueError, match=r"different sizes \(10 x 24, 20 x 24\).*processor.collate"):
            NucleiImageProcessor()(images, return_tensors="pt")
        assert [x.shape for x in NucleiImageProcessor()(images)["pixel_values"]] == [(3, 20, 24), (3, 10, 24)]


class TestTruth:
    def test_targets_beside_the_pixels(self):
        item = NucleiImageProcessor()(PICTURE, segmentation_maps=TRUTH, return_tensors="pt")
        assert item["labels"].shape == (1, 4, 56, 72) and item["labels"].dtype == torch.float32
        assert np.array_equal(item["labels"][0], make_targets(TRUTH, NAMES))
        assert torch.equal(item["pixel_values"], NucleiImageProcessor()(PICTURE, return_tensors="pt")["pixel_values"])

    @pytest.mark.parametrize("diameter", [8.0, 13.0, 60.0])
    def test_are_rescaled_alike(self, diameter):
        item = NucleiImageProcessor()(PICTURE, TRUTH, diameter=diameter)
        [x], [labels] = item["pixel_values"], item["labels"]
        assert x.shape[1:] == labels.shape[1:] and (x.shape[1:] == (56, 72)) == (16 <= diameter <= 36)
        bright, nucleus = x[0] > 0, labels[0] == 0
        assert np.mean(bright != nucleus) < 0.04
        assert measure.label(nucleus, return_num=True)[1] == 5

    def test_targets_train(self):
        torch.manual_seed(0)
        processor = NucleiImageProcessor()
        model = UNet(UNetConfig(channels=[4, 8], padding="same", num_labels=4))
        batch = processor(PICTURE, TRUTH, return_tensors="pt")
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        losses = []
        for _ in range(25):
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]

    def test_many_images_and_palette_pictures(self):
        processor = NucleiImageProcessor()
        expected = processor(PICTURE, TRUTH)["labels"][0]
        palette = Image.fromarray(TRUTH.astype(np.uint8)).convert("P")
        for truth in ([TRUTH, palette], np.stack([TRUTH, TRUTH])):
            found = processor([PICTURE, PICTURE], segmentation_maps=truth)["labels"]
            assert len(found) == 2 and all(np.array_equal(labels, expected) for labels in found)

    def test_pixels_that_nobody_labelled(self):
        truth = TRUTH.copy()
        truth[:20] = -1
        labels = NucleiImageProcessor()(PICTURE, truth)["labels"][0]
        assert (labels[:, :20] == IGNORED).all() and (labels[:, 20:] >= 0).all()

    def test_numbers_beyond_31_bits(self):
        truth = np.where(TRUTH > 0, TRUTH.astype(np.uint32) + np.uint32(4e9), np.uint32(0))
        labels = NucleiImageProcessor()(PICTURE, truth)["labels"][0]
        assert np.array_equal(labels, make_targets(TRUTH, NAMES))

    @pytest.mark.parametrize(
        ("truth", "sentence"),
        [
            (TRUTH[:-1], "55 x 72 pixels for an image of 56 x 72"),
            (TRUTH.astype(float), "type float64: expected a label image"),
            (PICTURE, "shape .*: expected a label image"),
            ((TRUTH > 0) * 255, "the number 255 on all of its 5 separate parts: it is a mask"),
            (TRUTH > 0, "the number 1 on all of its 5 separate parts"),
            ([TRUTH, TRUTH], "2 segmentation maps for 1 images"),
        ],
    )
    def test_what_is_no_truth(self, truth, sentence):
        with pytest.raises(ValueError, match=sentence):
            NucleiImageProcessor()([PICTURE], segmentation_maps=truth if isinstance(truth, list) else [truth])

    def test_a_colour_picture_for_one_image(self):
        with pytest.raises(ValueError, match=r"shape \(56, 72, 3\) .*: expected a label image"):
            NucleiImageProcessor()(PICTURE, segmentation_maps=PICTURE)

    def test_a_mask_is_enough_where_nuclei_are_not_told_apart(self):
        for names in (["nucleus"], ["background", "nucleus"]):
            labels = NucleiImageProcessor(channel_names=names)(PICTURE, (TRUTH > 0) * 255)["labels"][0]
            assert np.array_equal(labels[-1] > 0, TRUTH > 0)


class TestCollate:
    def test_unequal_sizes(self):
        processor = NucleiImageProcessor()
        small, large = processor(PICTURE[:40, :50], TRUTH[:40, :50]), processor(PICTURE, TRUTH, return_tensors="pt")
        batch = processor.collate([small, large])
        assert batch["pixel_values"].shape == (2, 3, 56, 72) and batch["labels"].shape == (2, 4, 56, 72)
        assert np.array_equal(batch["pixel_values"][0, :, :40, :50], small["pixel_values"][0])
        assert np.array_equal(batch["pixel_values"][0, :, 40:, :50], small["pixel_values"][0][:, :23:-1])
        assert (batch["labels"][0, :, 40:] == IGNORED).all() and (batch["labels"][0, :, :, 50:] == IGNORED).all()
        assert torch.equal(batch["labels"][1], large["labels"][0])

    def test_what_is_added_is_left_out_of_the_loss(self):
        processor = NucleiImageProcessor()
        batch = processor.collate([processor(PICTURE[:40, :50], TRUTH[:40, :50]), processor(PICTURE, TRUTH)])
        logits = torch.randn(2, 4, 56, 72, requires_grad=True)
        segmentation_loss(logits, batch["labels"], NAMES).backward()
        assert not logits.grad[0, :, 40:].any() and not logits.grad[0, :, :, 50:].any()
        assert logits.grad[0, :, :40, :50].all() and logits.grad[1, :, 40:].any()

    def test_in_a_data_loader(self):
        processor = NucleiImageProcessor()
        items = [processor(PICTURE[:n, :n], TRUTH[:n, :n]) for n in (30, 40, 50)]
        batches = list(DataLoader(items, batch_size=2, collate_fn=processor.collate))
        assert [tuple(b["pixel_values"].shape) for b in batches] == [(2, 3, 40, 40), (1, 3, 50, 50)]

    @pytest.mark.parametrize("turned", [False, True])
    def test_some_with_truth_and_some_without(self, turned):
        items = [NucleiImageProcessor()(PICTURE, TRUTH), NucleiImageProcessor()(PICTURE)]
        with pytest.raises(ValueError, match="Some items have labels, pixel_values, others pixel_values"):
            NucleiImageProcessor.collate(items[::-1] if turned else items)

    def test_images_alone(self):
        batch = NucleiImageProcessor.collate([{"pixel_values": np.zeros((3, 4, 5), np.float32)}])
        assert batch.keys() == {"pixel_values"} and batch["pixel_values"].shape == (1, 3, 4, 5)
