"""What is believed of the diameter: evidence put together."""

import numpy as np
import pytest

from nuclei_models.model.scale import Belief, Evidence, look_features


def test_two_that_agree_are_trusted():
    belief = Belief()
    belief.add(Evidence(np.log2(30), 0.15))
    belief.add(Evidence(np.log2(32), 0.15))
    assert belief.diameter == pytest.approx(31, rel=0.1)
    assert belief.trust > 0.95 and not belief.is_doubtful


def test_two_that_contradict_each_other_are_not():
    belief = Belief()
    belief.add(Evidence(np.log2(30), 0.2))
    belief.add(Evidence(np.log2(110), 0.2))
    assert belief.is_doubtful


def test_a_third_settles_it():
    belief = Belief()
    for diameter in (30, 110, 105):
        belief.add(Evidence(np.log2(diameter), 0.2))
    assert belief.diameter == pytest.approx(108, rel=0.1)
    assert not belief.is_doubtful


def test_nothing_known_is_doubtful():
    assert Belief().is_doubtful


def test_a_stated_pixel_size_speaks_against_what_no_nucleus_is():
    belief = Belief(pixel_size=0.1)  # nuclei of 4 to 25 micrometres are 40 to 250 pixels across
    belief.add(Evidence(np.log2(15), 0.3))
    alone = Belief()
    alone.add(Evidence(np.log2(15), 0.3))
    assert belief.trust < alone.trust
    belief.add(Evidence(np.log2(90), 0.3))
    assert belief.diameter == pytest.approx(90, rel=0.2)


def test_features_of_a_look_that_found_nothing_are_finite():
    empty = np.zeros((20, 30), np.float32)
    features = look_features(np.zeros((20, 30, 3), np.float32), empty, empty, np.zeros((20, 30), np.int32), 25.0)
    assert np.isfinite(features).all()


def test_features_tell_what_was_found_over_what_was_assumed():
    labels = np.zeros((64, 64), np.int32)
    y, x = np.mgrid[:64, :64]
    labels[(y - 20) ** 2 + (x - 20) ** 2 < 100] = 1
    labels[(y - 45) ** 2 + (x - 45) ** 2 < 100] = 2
    p = (labels > 0).astype(np.float32)
    features = look_features(np.repeat(p[..., None], 3, 2), p, p, labels, 10.0)
    assert features[3] == pytest.approx(1, abs=0.1)  # 20 pixels across, 10 assumed
