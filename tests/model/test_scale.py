"""What is believed of the diameter: evidence put together."""

import numpy as np
import pytest

from nuclei_models.model.scale import PICTURE_OUTLIERS, TRUSTED, Belief, Diameter, Evidence, look_features, search


def test_two_that_agree_are_trusted():
    belief = Belief()
    belief.add(Evidence(np.log2(30), 0.15))
    belief.add(Evidence(np.log2(32), 0.15))
    assert belief.diameter == pytest.approx(31, rel=0.1)
    assert belief.trust > 0.95


def test_two_that_contradict_each_other_are_not():
    belief = Belief()
    belief.add(Evidence(np.log2(30), 0.2))
    belief.add(Evidence(np.log2(110), 0.2))
    assert belief.trust < TRUSTED


def test_a_third_settles_it():
    belief = Belief()
    for diameter in (30, 110, 105):
        belief.add(Evidence(np.log2(diameter), 0.2))
    assert belief.diameter == pytest.approx(108, rel=0.1)
    assert belief.trust > TRUSTED


def test_nothing_known_is_doubtful():
    assert Belief().trust < TRUSTED


def test_a_stated_pixel_size_speaks_against_what_no_nucleus_is():
    belief = Belief(pixel_size=(0.1, 0.1))  # nuclei of 4 to 25 micrometres are 40 to 250 pixels across
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


class TestSearch:
    """With a network that knows nuclei within an octave of what it expects, and says so."""

    @staticmethod
    def scale_for(diameter: float) -> float:
        return float(np.clip(diameter, 16, 36)) / diameter

    def run(self, first: float, true: float) -> tuple[Diameter, list[float]]:
        looked = []

        def look(diameter: float) -> Evidence:
            looked.append(diameter)
            off = np.log2(true / diameter)
            return (
                Evidence(np.log2(true), 0.1) if abs(off) < 1 else Evidence(np.log2(diameter) + 0.2 * np.sign(off), 1.5)
            )

        belief = Belief()
        belief.add(Evidence(np.log2(first), 0.3, PICTURE_OUTLIERS))
        return search(belief, look, self.scale_for), looked

    @pytest.mark.parametrize("true", [8, 20, 35, 60, 110, 160])
    def test_a_right_estimate_costs_a_look_and_a_coarse_one(self, true):
        found, looked = self.run(true, true)
        assert looked[1:] == [pytest.approx(3 * true, rel=0.05)] and not found.is_doubtful
        assert found.pixels == looked[0]  # what was seen there is what is asked for

    @pytest.mark.parametrize(("first", "true"), [(29, 110), (29, 60), (15, 60), (90, 200), (20, 9), (29, 200)])
    def test_a_wrong_one_is_found_out(self, first, true):
        found, looked = self.run(first, true)
        assert found.pixels == pytest.approx(true, rel=0.25)
        assert not found.is_doubtful and len(looked) <= 6

    @pytest.mark.parametrize(("first", "true"), [(135, 20), (60, 20), (200, 10)])
    def test_a_far_too_large_one_is_at_least_doubtful(self, first, true):
        found, _ = self.run(first, true)
        assert found.is_doubtful or found.pixels == pytest.approx(true, rel=0.25)

    def test_where_no_look_is_sure_the_answer_is_doubtful(self):
        belief = Belief()
        belief.add(Evidence(np.log2(30), 0.1, 0.2))
        found = search(belief, lambda d: Evidence(np.log2(d), 0.9), self.scale_for)
        assert found.is_doubtful and found.looks > 1


class TestWords:
    def test_what_was_found_contradicts_what_was_assumed(self):
        said = Diameter(29.0, 0.9).doubt(57.0)
        assert said.startswith("Nuclei about 29 px across were assumed; those found are 57 px.")
        assert "give its diameter" in said

    def test_nothing_confirms_it(self):
        assert "nothing in the picture confirms it" in Diameter(29.0, 0.3, is_doubtful=True).doubt(None)

    def test_no_doubt_no_words(self):
        assert Diameter(29.0, 0.9).doubt(31.0) == Diameter().doubt(20.0) == ""

    def test_a_given_diameter_can_be_wrong(self):
        assert "were given; those found are 60 px" in Diameter(20.0, 1.0, given=True).doubt(60.0)
