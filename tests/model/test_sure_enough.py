"""Nuclei that are likely wrong are dropped: by the processor, by `segment` and in runs; who asks for them gets them."""

import numpy as np
import pytest
from scipy import ndimage

from nuclei_models import NucleiImageProcessor, segment
from nuclei_models.analysis.filters import Filters
from nuclei_models.jobs.settings import network_for, settings_for
from nuclei_models.model.confidence import FEATURES, reach_of
from nuclei_models.model.maps import Maps
from nuclei_models.model.sureness import sure_enough
from tests.support.large import CONFIDENCE, blobs, seeing

LEAST = 0.5


def some_maps() -> Maps:
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(90, 110)), 3)
    p = np.clip(0.5 + 4 * noise, 0, 1).astype(np.float32)
    return Maps(p, ndimage.gaussian_filter(p, 1))


def processor(**options) -> NucleiImageProcessor:
    return NucleiImageProcessor(**{"confidence_model": {"alone": CONFIDENCE}, "least_confidence": LEAST} | options)


def test_those_below_the_limit_are_dropped_and_the_others_stay_as_they_are():
    maps, fitted = some_maps(), processor()
    found, kept = fitted.cut(maps), fitted.instances(maps)
    sure = fitted.confidence(maps, found)
    expected = [i for i in range(1, found.max() + 1) if sure[i - 1] >= LEAST]
    assert 0 < len(expected) < found.max()
    assert kept.dtype == np.int32 and kept.max() == len(expected)
    for number, before in enumerate(expected, 1):
        assert np.array_equal(kept == number, found == before)


def test_zero_and_no_fitted_confidence_keep_all():
    maps = some_maps()
    everything = processor().cut(maps)
    assert np.array_equal(processor().instances(maps, least_confidence=0), everything)
    assert np.array_equal(processor(confidence_model=None).instances(maps), everything)
    assert NucleiImageProcessor().least_confidence == 0


@pytest.mark.parametrize("least", [-0.1, 1.5, "half", float("nan")])
def test_a_limit_out_of_range_is_refused(least):
    with pytest.raises(ValueError, match=r"least_confidence=.*expected a number from 0 to 1"):
        processor().instances(some_maps(), least_confidence=least)


def test_the_setting_is_saved_with_the_weights_and_segment_follows_it(tmp_path):
    network = network_for(seeing(tmp_path, least_confidence=0.85))
    assert network.processor.least_confidence == 0.85
    image = blobs((200, 220))
    default = segment(image, network.model, network.processor)
    everything = segment(image, network.model, network.processor, least_confidence=0)
    assert 0 < default.count < everything.count
    assert np.array_equal(default.labels, network.processor.sure_enough(everything.maps, everything.labels))


def test_who_asks_for_less_sure_nuclei_gets_them(tmp_path):
    model = seeing(tmp_path, least_confidence=0.6)
    assert settings_for(model).least_confidence == 0.6
    assert settings_for(model, filters=Filters(min_confidence=0.2)).least_confidence == 0.2
    assert settings_for(model, filters=Filters(min_confidence=0.9)).least_confidence == 0.6
    assert settings_for(model, least_confidence=0.1).least_confidence == 0.1
    with pytest.raises(ValueError, match="least_confidence=2"):
        settings_for(model, least_confidence=2)


@pytest.mark.parametrize("reach", [1, 2, 4])
@pytest.mark.parametrize("with_distance", [True, False])
def test_what_is_left_unmeasured_changes_no_answer(reach, with_distance):
    """Nuclei at the image's edges, touching, with holes and a pixel wide, against their confidences."""
    rng = np.random.default_rng(reach)
    p, more = (ndimage.gaussian_filter(rng.normal(size=(150, 170)), sigma) for sigma in (2, 1))
    p, more = (np.clip(0.5 + one / one.std() / 4, 0, 1).astype(np.float32) for one in (p, more))
    maps = Maps(p, more if with_distance else None, pixel_area=(reach / 2) ** 2)
    weights = rng.normal(size=len(FEATURES))
    mean, std = np.full(len(FEATURES), 0.4), np.full(len(FEATURES), 0.3)
    model = CONFIDENCE | {"mean": mean.tolist(), "std": std.tolist(), "weights": weights.tolist(), "bias": 0.1}
    fitted = processor(confidence_model={"alone": model})
    labels = fitted.cut(maps, 0.5, 0.6, 0)
    sure = fitted.confidence(maps, labels)
    assert reach_of(maps.pixel_area) == reach and labels.max() > 25
    for least in (*np.quantile(sure, [0.1, 0.5, 0.9]), 1e-9, 1.0):  # values of nuclei, too
        given = model, float(least), labels, maps.probability, maps.distance, maps.pixel_area
        assert np.array_equal(sure_enough(*given), sure >= least)


def test_no_nuclei_are_sure_enough_where_there_are_none():
    none = np.zeros((4, 5), np.int32)
    assert sure_enough(CONFIDENCE, 0.5, none, np.zeros((4, 5)), None, 1.0).shape == (0,)
