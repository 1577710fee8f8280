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
from skimage.segmentation import watershed
from tqdm import tqdm

from nuclei_models.model.instances import drop_small
from nuclei_models.training.samples import Sample
from train.evaluation.lists import LISTS, samples_of
from train.evaluation.results import ImageResult, of_list, table

FILE = Path(__file__).parents[2] / "docs" / "studies" / "baseline.json"
TITLE = "Otsu + watershed"
SIGMA = 1.0  # pixels, of the smoothing before the threshold
APART = 5  # pixels between two seeds, at least
MIN_AREA = 20  # pixels


def otsu_watershed(image: np.ndarray) -> np.ndarray:
    """Nuclei by Otsu's threshold on the intensity, or of a colour image on its haematoxylin (Ruifrok and Johnston
    2001); touching ones are cut by a watershed of the distance to the edge.

    Args:
        image: (H, W) or (H, W, 3), any integer type.

    Returns:
        (H, W), int32 labels.
    """
    if image.ndim == 3:
        signal = rgb2hed(image)[..., 0]
    else:
        signal = image.astype(np.float64)
        if signal.mean() > (signal.max() + signal.min()) / 2:  # bright-field: nuclei are dark
            signal = -signal
    signal = gaussian(signal, SIGMA)
    if signal.max() == signal.min():
        return np.zeros(signal.shape, np.int32)
    mask = ndimage.binary_fill_holes(signal > threshold_otsu(signal))
    depth = gaussian(ndimage.distance_transform_edt(mask), SIGMA)
    seeds = np.zeros(mask.shape, np.int32)
    peaks = peak_local_max(depth, min_distance=APART, labels=label(mask), exclude_border=False)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return drop_small(watershed(-depth, seeds, mask=mask).astype(np.int32), MIN_AREA)


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
