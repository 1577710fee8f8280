"""Measure networks on a list of images, as a user would run them: file to label image, nothing known but the picture.

    python -m train.evaluation.evaluate --model weights/unet-nuclei weights/unetpp-nuclei \\
        --split stage1_test stardist_test

prints a table and writes `evaluation.json` beside the weights (or to --out, for a model from the Hub). The file carries
the SHA-256 of the weights it belongs to. `train.evaluation.figures` draws what is typical.
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from nuclei_models.inference.loading import load, parse_model_id
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.repository import Repository, sha256
from nuclei_models.training.samples import Sample
from train.evaluation.lists import LISTS, samples_of
from train.evaluation.results import ImageResult, of_list, table


def evaluate(model, processor, samples: list[Sample], strata: dict[str, str], **options) -> tuple[dict, dict]:
    """Segment and compare every sample.

    Args:
        model, processor: From `hub.load`.
        samples: Images with truth.
        strata: id -> stratum, for the colour images' own figures.
        options: For `segment`.

    Returns:
        Figures of all and, where there are any, of the colour images; and the label images found, by id.
    """
    results, found = {}, {}
    for sample in tqdm(samples, desc=type(model).__name__, unit="image"):
        found[sample.id] = segment(sample.image, model, processor, **options).labels
        results[sample.id] = ImageResult.compare(sample.labels, found[sample.id])
    return of_list(results, {s.id: strata[s.id] for s in samples}), found


def weights_hash(name: str) -> str:
    """SHA-256 of the weights of a folder or a Hub id."""
    source, revision = parse_model_id(name)
    weights = Repository(source, revision=revision).find("model.safetensors")
    if weights is None:
        raise SystemExit(f"{name} holds no model.safetensors.")
    return sha256(weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", required=True, help="folders or Hub ids (org/name@revision)")
    parser.add_argument("--split", nargs="+", default=LISTS, help="lists in train/splits/")
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    parser.add_argument("--out", type=Path, help="folder for <model>.json instead of beside the weights")
    parser.add_argument("--diameter", type=float, help="nuclear diameter, pixels; default: as the processor says")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation")
    args = parser.parse_args()

    options = {"diameter": args.diameter, "tta": args.tta}
    samples: dict[str, list[Sample]] = {}
    strata: dict[str, str] = {}
    for split in args.split:
        samples[split], kinds = samples_of(args.data, split)
        strata |= kinds
    evaluations: dict[str, dict] = {}
    for name in args.model:
        model, processor = load(name)
        title = Path(name.partition("@")[0]).name
        lists = {}
        for split in args.split:
            lists[split], _ = evaluate(model, processor, samples[split], strata, **options)
        settings = {k: getattr(processor, k) for k in ("threshold", "separation", "min_area", "diameter")}
        evaluations[title] = {
            "weights_sha256": weights_hash(name),
            "settings": settings | {k: v for k, v in options.items() if v},
            "lists": lists,
        }
        beside = Path(name) / "evaluation.json"
        file = args.out / f"{title}.json" if args.out or not Path(name).is_dir() else beside
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(evaluations[title], indent=1) + "\n")
    print(table(evaluations))


if __name__ == "__main__":
    main()
