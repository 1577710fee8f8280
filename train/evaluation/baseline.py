"""The line to beat: Otsu's threshold and a watershed, with nothing learned.

    python -m train.evaluation.baseline

measures it on the lists that the networks are measured on, and writes docs/studies/baseline.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_holes
from skimage.segmentation import watershed
from tqdm import tqdm

from nuclei_models.model.instances import drop_small
from nuclei_models.training.samples import Sample
from train.evaluation.lists import LISTS, samples_of
from train.evaluation.results import ImageResult, of_list, table

FILE = Path(__file__).parents[2] / "docs" / "studies" / "baseline.json"
TITLE = "Otsu + watershed"
SIGMA = 1.5  # pixels, of the smoothing before the threshold
APART = 5  # pixels between two seeds, at least
MIN_AREA = 20  # pixels
LARGEST_HOLE = 200  # pixels, that is filled


def otsu_watershed(image: np.ndarray) -> np.ndarray:
    """Nuclei by Otsu's threshold; touching ones are cut by a watershed of the distance to the edge.

    The threshold is on the intensity, or of a colour image on its haematoxylin (Ruifrok and Johnston 2001) or its
    darkness in red, whichever Otsu's criterion separates better.

    Args:
        image: (H, W) or (H, W, 3), any integer type.

    Returns:
        (H, W), int32 labels.
    """
    if image.ndim == 3:
        signals = [rgb2hed(image)[..., 0], -image[..., 0].astype(np.float64)]
    else:
        grey = image.astype(np.float64)
        is_bright_field = grey.mean() > (grey.max() + grey.min()) / 2
        signals = [-grey if is_bright_field else grey]
    signals = [gaussian(s, SIGMA) for s in signals]
    signals = [s for s in signals if s.max() > s.min()]
    if not signals:
        return np.zeros(image.shape[:2], np.int32)
    mask = remove_small_holes(_best(signals), max_size=LARGEST_HOLE)
    depth = gaussian(ndimage.distance_transform_edt(mask), SIGMA)
    seeds = np.zeros(mask.shape, np.int32)
    peaks = peak_local_max(depth, min_distance=APART, labels=label(mask), exclude_border=False)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return drop_small(watershed(-depth, seeds, mask=mask).astype(np.int32), MIN_AREA)


def _best(signals: list[np.ndarray]) -> np.ndarray:
    """The mask of the signal that Otsu's threshold separates best: by the share of its variance between classes."""
    masks = [signal > threshold_otsu(signal) for signal in signals]

    def between(k: int) -> float:
        inside, outside, share = signals[k][masks[k]], signals[k][~masks[k]], masks[k].mean()
        return float(share * (1 - share) * (inside.mean() - outside.mean()) ** 2 / signals[k].var())

    return masks[max(range(len(masks)), key=between)]


def measure(samples: list[Sample], strata: dict[str, str]) -> dict:
    """The figures of a list, and of its colour images, see `results.of_list`."""
    compared = {s.id: ImageResult.compare(s.labels, otsu_watershed(s.image)) for s in tqdm(samples, unit="image")}
    return of_list(compared, strata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    parser.add_argument("--split", nargs="+", default=LISTS, help="lists in train/splits/")
    args = parser.parse_args()
    lists = {name: measure(*samples_of(args.data, name)) for name in args.split}
    FILE.write_text(json.dumps({"lists": lists}, indent=1) + "\n")
    print(table({TITLE: {"lists": lists}}))


if __name__ == "__main__":
    main()
