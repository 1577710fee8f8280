"""Several stains merged in one picture: the nuclei are found in theirs."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy import ndimage

from nuclei_models.batch.making import make
from nuclei_models.inference import stains
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import nuclear_diameter, segment
from nuclei_models.inference.stains import find_channel, stain_note, stains_of
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.jobs.settings import network_of, settings_for
from nuclei_models.large.segmentation import segment_large
from nuclei_models.model.scale import Diameter

EXAMPLES = Path(__file__).parents[2] / "examples"
WEIGHTS = "unet-small-nuclei"


@pytest.fixture(scope="module")
def network():
    return load(WEIGHTS)


def example(name: str) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / f"{name}.png"))


def merged(order: tuple[int, int, int] = (0, 1, 2)) -> tuple[np.ndarray, np.ndarray]:
    """A merge of spots, cell bodies and nuclei, in this order of the colours -> it, and the nuclei alone."""
    nuclei = example("fluorescence-dense")[:120, :140]
    nuclei = nuclei if nuclei.ndim == 2 else nuclei[..., 0]
    mask = nuclei > 0.4 * nuclei.max()
    rim = ndimage.binary_dilation(mask, iterations=7) & ~ndimage.binary_dilation(mask, iterations=1)
    bodies = ndimage.gaussian_filter(180.0 * rim, 1.5)
    spots = np.zeros(mask.shape)
    y, x = np.random.default_rng(0).integers(0, mask.shape, (60, 2)).T
    spots[y, x] = 6000
    stains = ndimage.gaussian_filter(spots, 1.8).clip(0, 250), bodies, nuclei
    return np.stack([stains[i].astype(np.uint8) for i in order], -1), nuclei


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_nuclei_are_those_of_their_stain_alone(network, order):
    image, nuclei = merged(order)
    expected = segment(nuclei, *network)
    found = segment(image, *network)
    assert found.maps.stain == order.index(2)
    assert ("red", "", "blue")[order.index(2)] in found.note
    assert expected.count > 15 and np.array_equal(found.labels, expected.labels)
    assert nuclear_diameter(image, *network) == nuclear_diameter(nuclei, *network)


@pytest.mark.parametrize("colours", ["-bn", "b-n", "nbn", "bbn", "bnb"])
def test_a_stain_that_is_bright_everywhere_does_not_hide_the_nuclei(network, colours):
    """Cell bodies side by side in one or two colours, nuclei in another or two."""
    nuclei = merged()[1]
    mask = ndimage.binary_dilation(nuclei > 0.4 * nuclei.max(), iterations=2)
    fibres = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=mask.shape), 2)
    bodies = (200 + 130 * fibres / fibres.std() / 4 - 90.0 * mask).clip(0, 255).astype(np.uint8)
    image = np.stack([{"b": bodies, "n": nuclei, "-": np.zeros_like(nuclei)}[stain] for stain in colours], -1)
    assert np.median(bodies) > 2 * stains.DARK * 255
    found, expected = segment(image, *network), segment(nuclei, *network)
    assert colours[found.maps.stain] == "n" and np.array_equal(found.labels, expected.labels)


def test_nuclei_that_are_not_sure_enough_to_be_shown_dont_count(network):
    model, processor = network
    image = example("histology-pink")[:256, :256]
    shown, all_ = segment(image, model, processor), segment(image, model, processor, least_confidence=0)
    assert 0 < shown.count < all_.count
    sure, covered, contrast = stains._nuclei(processor.normalised(image), partial(predict_logits, model), processor)
    assert len(sure) == shown.count and covered == pytest.approx((shown.labels > 0).mean())
    assert contrast < 0  # of a stained section


def test_of_nuclei_and_holes_where_they_are_the_nuclei_are_taken(network, monkeypatch):
    """The stain of cell bodies leaves out the nuclei, on a dark ground. The network is about as sure of either."""
    model, processor = network
    nuclei = np.pad(merged()[1], 60, mode="reflect")
    bodies = ndimage.binary_dilation(nuclei > 0.4 * nuclei.max(), iterations=9) * (nuclei.max() - nuclei // 2)
    image = processor.normalised(np.stack([np.zeros_like(nuclei), bodies, nuclei], -1))
    run, measured = partial(predict_logits, model), stains._nuclei
    contrast = {stain: measured(stains.alone(image, stain), run, processor)[2] for stain in (1, 2)}
    assert contrast[1] < 0 < contrast[2]
    found = iter(
        [(np.full(12, 0.988), 0.059, contrast[2]), (np.full(12, 0.981), 0.063, contrast[1]), (np.zeros(0), 0, 0)]
    )
    monkeypatch.setattr(stains, "_nuclei", lambda *given: next(found))
    assert stains.find_stain(image.__getitem__, nuclei.shape, (1, 2), run, processor) == 2


def test_a_network_without_confidence_sees_all_colours():
    model, processor = load(WEIGHTS)
    processor.confidence_model = None
    assert segment(merged()[0], model, processor, least_confidence=0).maps.stain is None


@pytest.mark.parametrize("name", ["histology-kidney", "histology-pink", "purple-small", "white-ground", "tissue-pale"])
def test_stained_sections_are_no_merges(name):
    image = example(name)
    assert image.ndim == 3 and stains_of(image) == ()


@pytest.mark.parametrize("lamp", [(1, 0.6, 0.3), (0.5, 0.8, 1)])
def test_a_section_in_coloured_light_is_no_merge(lamp):
    assert stains_of((example("histology-kidney") * np.array(lamp)).astype(np.uint8)) == ()


def test_a_dark_section_is_no_merge():
    image = 255 * (example("histology-kidney") / 255) ** 3  # its ground is no brighter than half of its brightest
    assert stains_of(image.astype(np.uint8)) == ()


def test_grey_pictures_in_a_colour_are_no_merges():
    grey = example("fluorescence-sharp")
    grey = grey if grey.ndim == 2 else grey[..., 0]
    for tint in ((1, 1, 1), (0, 0.2, 1), (0.8, 0.1, 0.6), (0, 1, 0)):
        assert stains_of((grey[..., None] * np.array(tint)).astype(np.uint8)) == ()
    assert stains_of(np.zeros((30, 30, 3), np.uint8)) == ()
    assert stains_of(np.full((30, 30, 3), np.nan, np.float32)) == ()


def test_a_stain_that_seems_to_have_tiny_nuclei_is_not_enlarged_without_end(network, monkeypatch):
    seen = []

    def run(x):
        seen.append(x.shape[1:])
        return torch.zeros(4, *x.shape[1:])

    monkeypatch.setattr(stains, "find_diameter", lambda *given: (Diameter(2.0), None))
    noise = np.random.default_rng(0).random((300, 400, 3)).astype(np.float32)
    stains._nuclei(noise, run, network[1])
    assert len(seen) == 1 and max(seen[0]) <= stains.MAX_SIDE


class TestUnnamedChannels:
    @pytest.fixture
    def file(self, tmp_path) -> Path:
        """Spots, cell bodies and nuclei in three channels, of which nothing is said."""
        image, _ = merged()
        tifffile.imwrite(tmp_path / "cells.tif", image.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})
        return tmp_path / "cells.tif"

    def test_the_one_with_the_nuclei_is_found(self, network, file):
        channel, said = find_channel(file, *network)
        assert channel == 2 and said == "3 channels: the network is surest of the nuclei in channel 3, which is used."

    def test_every_way_takes_it(self, file, tmp_path):
        asked = settings_for(WEIGHTS, save=("labels",))
        made = make(file, asked, network_of(asked))
        same = make(file, replace(asked, channel=2), network_of(asked))
        assert made.files == same.files and made.facts["channels"] == (2,) and made.facts["nuclei"] > 15
        assert made.facts["notes"][0].endswith("which is used.") and not same.facts["notes"]
        done = segment_large(file, tmp_path / "out", asked, block=96)
        assert done.facts["channels"] == (2,) and made.facts["notes"][0] in done.facts["notes"]
        assert abs(done.nuclei - made.facts["nuclei"]) <= 1

    def test_pages_that_are_asked_for_as_planes_are_planes(self, tmp_path):
        tifffile.imwrite(
            tmp_path / "pages.tif", merged()[0].transpose(2, 0, 1), photometric="minisblack", metadata=None
        )
        for axes in ({"z": "all"}, {"t": "all"}):
            asked = settings_for(WEIGHTS, save=("labels",), diameter=24.0, **axes)
            assert make(tmp_path / "pages.tif", asked, network_of(asked)).facts["planes"] == 3

    def test_a_name_tells(self, network, tmp_path):
        image, _ = merged()
        tifffile.imwrite(
            tmp_path / "named.ome.tif",
            image.transpose(2, 0, 1),
            metadata={"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI", "Cy5"]}},
        )
        assert find_channel(tmp_path / "named.ome.tif", *network) == (None, "")

    def test_one_channel_and_colour_are_not_looked_at(self, network, tmp_path):
        for name, image in (("grey.png", merged()[1]), ("colour.png", merged()[0])):
            Image.fromarray(image).save(tmp_path / name)
            assert find_channel(tmp_path / name, *network) == (None, "")


def test_large_images_take_the_same_stain(network, tmp_path):
    image, nuclei = merged()
    Image.fromarray(image).save(tmp_path / "merge.png")
    done = segment_large(tmp_path / "merge.png", tmp_path / "out", settings_for(WEIGHTS, save=("labels",)), block=96)
    expected = segment(nuclei, *network).count
    assert abs(done.nuclei - expected) <= 1
    assert stain_note(2) in done.facts["notes"]
