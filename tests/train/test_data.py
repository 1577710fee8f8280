"""The data set as people have it, whole and broken; the splits; targets and crops."""

import csv
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nuclei_models.model.targets import edge_distance, make_targets, normalised
from nuclei_models.training import packed
from nuclei_models.training.augment import AugmentConfig, Crops, median_diameter
from nuclei_models.training.likeness import modality, near_duplicates
from nuclei_models.training.samples import DataError, Sample
from train import data
from train.make_splits import draw_validation


def make_sample(seed: int, shape=(40, 50), colour=False, empty=False) -> Sample:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    if not empty:
        labels[5:15, 5:15], labels[20:30, 20:35], labels[15:19, 5:9] = 1, 2, 3
    image = (labels > 0) * 120 + rng.integers(0, 40, shape)
    image = image.astype(np.uint8)
    return Sample(f"id{seed}", np.stack([image, image // 2, image // 3], -1) if colour else image, labels)


def write_bowl(root: Path, samples: list[Sample], rgba=True) -> None:
    for s in samples:
        for name in ("images", "masks"):
            (root / s.id / name).mkdir(parents=True)
        image = Image.fromarray(s.image)
        image.convert("RGBA" if rgba else image.mode).save(root / s.id / "images" / f"{s.id}.png")
        for k in range(1, s.labels.max() + 1):
            Image.fromarray((s.labels == k).astype(np.uint8) * 255).save(root / s.id / "masks" / f"{k}.png")


def encode(mask: np.ndarray) -> str:
    flat = np.flatnonzero(np.diff(np.pad(mask.T.ravel().astype(int), 1)))
    return " ".join(f"{start + 1} {stop - start}" for start, stop in flat.reshape(-1, 2))


def write_runs(path: Path, samples: list[Sample], columns=("ImageId", "EncodedPixels")) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for s in samples:
            writer.writerows([s.id, encode(s.labels == k)] for k in range(1, s.labels.max() + 1))
            if not s.labels.any():
                writer.writerow([s.id, ""])


def zip_folder(folder: Path, top: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, top + file.relative_to(folder).as_posix())
    return path


@pytest.fixture
def samples() -> list[Sample]:
    return [make_sample(0), make_sample(1, colour=True)]


@pytest.fixture
def folder(tmp_path, samples) -> Path:
    write_bowl(tmp_path / "bowl", samples)
    return tmp_path / "bowl"


def assert_same(read: list[Sample], expected: list[Sample]) -> None:
    assert [s.id for s in read] == [s.id for s in expected]
    for a, b in zip(read, expected, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.labels > 0, b.labels > 0)
        pairs = set(zip(a.labels.ravel().tolist(), b.labels.ravel().tolist(), strict=True))
        assert len(pairs) == b.labels.max() + 1  # one to one, whatever the numbers


class TestReading:
    def test_folder(self, folder, samples):
        assert_same(list(data.read_bowl(folder)), samples)

    @pytest.mark.parametrize("top", ["", "stage1_train/"])
    def test_zip_with_and_without_a_top_folder(self, folder, samples, top):
        assert_same(list(data.read_bowl(zip_folder(folder, top))), samples)

    def test_rgb_and_grey_pngs(self, tmp_path, samples):
        write_bowl(tmp_path / "rgb", samples, rgba=False)
        assert_same(list(data.read_bowl(tmp_path / "rgb")), samples)

    def test_run_lengths_instead_of_masks_and_an_image_without_nuclei(self, tmp_path, samples):
        samples = [*samples, make_sample(2, empty=True)]
        write_bowl(tmp_path / "bowl", samples)
        for masks in (tmp_path / "bowl").glob("*/masks"):
            shutil.rmtree(masks)
        write_runs(tmp_path / "truth.csv", samples)
        assert_same(list(data.read_bowl(tmp_path / "bowl", tmp_path / "truth.csv")), samples)

    def test_packed_folder_gives_the_same_back(self, tmp_path, folder, samples):
        for sample in data.read_bowl(folder):
            packed.pack(sample, tmp_path / "packed")
        assert_same(packed.load_packed(tmp_path / "packed", ["id0", "id1"]), samples)
        with pytest.raises(DataError, match=r"1 of 2 images, the first id9"):
            packed.load_packed(tmp_path / "packed", ["id0", "id9"])


class TestBrokenFilesAreNamed:
    def read(self, path, truth=None):
        return list(data.read_bowl(path, truth))

    def test_missing_image(self, folder):
        (folder / "id0/images/id0.png").unlink()
        with pytest.raises(DataError, match="id0/images/ holds 0 PNGs"):
            self.read(folder)

    def test_no_truth(self, folder):
        shutil.rmtree(folder / "id1/masks")
        with pytest.raises(DataError, match="id1 has neither id1/masks"):
            self.read(folder)

    def test_mask_of_another_size(self, folder):
        Image.new("L", (50, 41), 255).save(folder / "id0/masks/2.png")
        with pytest.raises(DataError, match=r"id0/masks/2.png is \(41, 50\), its image is \(40, 50\)"):
            self.read(folder)

    def test_empty_mask(self, folder):
        Image.new("L", (50, 40), 0).save(folder / "id0/masks/2.png")
        with pytest.raises(DataError, match=r"id0/masks/2.png is an empty mask"):
            self.read(folder)

    @pytest.mark.parametrize("keep", [0, 20, 60])
    def test_truncated_png(self, folder, keep):
        path = folder / "id1/images/id1.png"
        path.write_bytes(path.read_bytes()[: keep * path.stat().st_size // 100])
        with pytest.raises(DataError, match=r"id1/images/id1.png can't be read"):
            self.read(folder)

    def test_csv_of_other_columns(self, tmp_path, folder, samples):
        write_runs(tmp_path / "truth.csv", samples, columns=("Image", "Pixels"))
        with pytest.raises(DataError, match=r"truth.csv has columns \['Image', 'Pixels'\]"):
            self.read(folder, tmp_path / "truth.csv")

    @pytest.mark.parametrize(("code", "message"), [("1 2 3", "not pairs"), ("1999 5", "outside"), ("a b", "not pairs")])
    def test_bad_runs(self, tmp_path, folder, code, message):
        (tmp_path / "truth.csv").write_text(f"ImageId,EncodedPixels\nid0,{code}\n")
        with pytest.raises(DataError, match=rf"truth.csv, image id0: nucleus 1.*{message}"):
            self.read(folder, tmp_path / "truth.csv")

    def test_no_such_source_a_broken_zip_and_an_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"nowhere does not exist"):
            self.read(tmp_path / "nowhere")
        (tmp_path / "half.zip").write_bytes(b"PK\3\4 half")
        with pytest.raises(DataError, match=r"half.zip is not a whole zip"):
            self.read(tmp_path / "half.zip")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="holds no"):
            self.read(tmp_path / "empty")


class TestSplits:
    def test_sizes(self):
        assert len(data.read_split("stage1_test")) == 65
        assert len(data.read_split("stardist_test")) == 49
        assert 55 <= len(data.read_split("validation")) <= 70
        assert len(data.read_split("train")) > 500

    def test_no_test_id_reaches_training_or_validation(self):
        tests = {*data.read_split("stage1_test"), *data.read_split("stardist_test")}
        assert len(tests) == 65 + 49
        for name in ("train", "validation"):
            assert not tests & set(data.read_split(name))
        assert not set(data.read_split("train")) & set(data.read_split("validation"))

    def test_every_modality_validates(self):
        kinds = {s.partition("-")[0] for s in data.read_strata("validation").values()}
        assert kinds == {"fluorescence", "brightfield", "purple", "white", "pink"}

    def test_near_duplicates_are_found_in_any_orientation(self):
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 255, (64, 64), dtype=np.uint8) for _ in range(3)]
        images.append(np.rot90(images[1])[::-1].copy())
        groups = near_duplicates([Sample(str(i), x, np.zeros((64, 64), int)) for i, x in enumerate(images)])
        assert groups[1] == groups[3]
        assert len(set(groups)) == 3

    def test_groups_stay_on_one_side(self):
        ids = [str(i) for i in range(100)]
        groups = [i // 4 for i in range(100)]
        chosen = draw_validation(ids, ["a"] * 60 + ["b"] * 40, groups, seed=0)
        for g in range(25):
            assert len({i in chosen for i, group in zip(ids, groups, strict=True) if group == g}) == 1
        assert 4 <= len(chosen) <= 12

    def test_modalities(self):
        assert modality(np.full((4, 4), 20)) == "fluorescence"
        assert modality(np.full((4, 4), 200)) == "brightfield"
        for colour, name in (((180, 160, 210), "purple"), ((230, 230, 235), "white"), ((220, 120, 170), "pink")):
            assert modality(np.full((4, 4, 3), colour)) == name


class TestTargets:
    labels = make_sample(0).labels

    def test_classes_are_exclusive_and_cover_all(self):
        background, nucleus, border, distance = make_targets(
            self.labels, ["background", "nucleus", "border", "distance"]
        )
        assert np.array_equal(background + nucleus + border, np.ones_like(background))
        assert np.array_equal(background == 1, self.labels == 0)
        assert border[5, 5] and border[6, 7] and nucleus[8, 8]
        assert ((distance > 0) == (self.labels > 0)).all()

    def test_edge_distance_against_the_definition(self):
        ys, xs = np.nonzero(self.labels)
        distance = edge_distance(self.labels)
        for y, x in list(zip(ys, xs, strict=True))[::17]:
            oy, ox = np.nonzero(self.labels != self.labels[y, x])
            assert distance[y, x] == pytest.approx(np.hypot(oy - y, ox - x).min(), abs=1.01)

    def test_touching_nuclei_are_apart(self):
        labels = np.zeros((20, 40), int)
        labels[5:15, 5:20], labels[5:15, 20:35] = 1, 2
        distance = normalised(edge_distance(labels), labels)
        assert distance[9, 19] < 0.3 and distance[9, 20] < 0.3
        for number in (1, 2):
            assert distance[labels == number].max() == pytest.approx(1)

    @pytest.mark.parametrize("labels", [np.zeros((8, 8), int), np.ones((8, 8), int)])
    def test_all_background_and_all_nucleus(self, labels):
        targets = make_targets(labels, ["background", "nucleus", "border", "distance"])
        assert np.isfinite(targets).all() and targets.min() >= 0 and targets.max() <= 1

    def test_mask_only(self):
        assert np.array_equal(make_targets(self.labels, ["nucleus"])[0] > 0, self.labels > 0)


class TestCrops:
    def test_a_crop_is_a_function_of_its_seed(self):
        crops, config = Crops(make_sample(0, colour=True)), AugmentConfig(crop_size=32)
        first, again, other = (crops.draw(np.random.default_rng(s), config) for s in (5, 5, 6))
        assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
        assert not np.array_equal(first[0], other[0])

    @pytest.mark.parametrize("options", [{"colour": True}, {"empty": True}, {}])
    def test_shapes_and_values(self, options):
        crops, config = Crops(make_sample(0, **options)), AugmentConfig(crop_size=48)
        for seed in range(30):
            image, labels = crops.draw(np.random.default_rng(seed), config)
            assert image.shape == (48, 48, 3) and image.dtype == np.float32 and np.isfinite(image).all()
            assert labels.shape == (48, 48) and labels.dtype == np.int32

    def test_diameters_are_drawn_from_the_range(self):
        disc = np.hypot(*np.mgrid[-200:200, -200:200]) < 20
        crops = Crops(Sample("disc", (disc * 200).astype(np.uint8), disc.astype(np.int32)))
        assert median_diameter(crops.labels) == pytest.approx(40, rel=0.02)
        config = AugmentConfig(crop_size=80, min_diameter=12, max_diameter=48, on_nucleus=1, elastic=0)
        found = [(crops.draw(np.random.default_rng(s), config)[1] > 0) for s in range(40)]
        largest = [
            median_diameter(f) for f in found if not (f[0].any() or f[:, 0].any() or f[-1].any() or f[:, -1].any())
        ]
        assert min(largest) > 11 and max(largest) < 50 and max(largest) > 2 * min(largest)
