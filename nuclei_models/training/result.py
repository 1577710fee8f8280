"""What a run came to -> the folder that it leaves: a model, its card, its report and the record of how it was made."""

import json
import platform
import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from ..analysis.comparison import Figures
from ..inference.loading import PROCESSOR, parse_model_id
from ..inference.network import FullNetwork
from ..jobs import durable
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from ..model.repository import CONFIG, HASH, WEIGHTS, Repository, sha256
from ..output.provenance import versions
from . import processes
from .candidates import FITTED, START, TRAINED
from .card import RECORD, REPORT, build_card
from .measuring import Outcome
from .reading import Data, count
from .recipe import Recipe
from .samples import DataError, Sample
from .settings import settings_of

if TYPE_CHECKING:
    from .tuning import Tuning

CARD, IDENTITY = "README.md", "identity.json"
FORMAT = "nuclei train 1"
FILES = (CONFIG, WEIGHTS, PROCESSOR, RECORD, CARD, REPORT)


@dataclass
class Result:
    """What came of training.

    Attributes:
        folder: Of the model.
        kept: Which candidate it is: "start", "start, scale fitted", "trained" or "trained, thresholds fitted".
        why: That in a sentence.
        figures: Candidate -> mean figures on the held-out images.
        notes: What is to be known of the images.
        record: All that is recorded, the content of training.json.
        outcomes: Candidate -> image -> what was found; empty where the result was read back from its folder.
        was_finished: Whether an earlier run had made it.
    """

    folder: Path
    kept: str
    why: str
    figures: dict[str, Figures]
    notes: list[str]
    record: dict[str, Any] = field(repr=False)
    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict, repr=False)
    was_finished: bool = False

    @property
    def is_trained(self) -> bool:
        """Whether the weights are new ones."""
        return self.kept in (TRAINED, FITTED)


def identity(
    network: FullNetwork, data: Data, apart: Data | None, minutes: float, group: str | None, recipe: Recipe
) -> dict[str, Any]:
    """All that the result is a function of, but for the machine: a run goes on only where this is the same."""
    return {
        "initial": network.sha256,
        "data": data.sha256(),
        "held_out": apart.sha256() if apart else None,
        "minutes": minutes,
        "group": group,
        "recipe": asdict(recipe),
    }


def finished(out: Path, wanted: dict[str, Any]) -> Result | None:
    """The result of an earlier, whole run of the same, if there is one."""
    record = _read(out / RECORD)
    if record.get("identity") != wanted or not record.get("complete") or not (out / WEIGHTS).is_file():
        return None
    result = record["result"]
    return Result(out, result["kept"], result["why"], record["figures"], record["notes"], record, was_finished=True)


def check_folder(out: Path, wanted: dict[str, Any], overwrite: bool, work: Path) -> None:
    """Make ready the folder of the result, in which an interrupted run of the same may go on.

    Raises:
        DataError: It holds something else, which would be replaced.
    """
    if overwrite:
        durable.remove(work)
        return
    begun = _read(work / IDENTITY)
    if begun == wanted:
        return
    if begun:
        differs = ", ".join(name for name in wanted if begun.get(name) != wanted[name])
        raise DataError(
            f"{out} holds an interrupted run that differs ({differs}): give its command again to go on with it, "
            f"--overwrite to begin anew, or another --out."
        )
    there = [name for name in FILES if (out / name).exists()]
    if there:
        raise DataError(f"{out} holds {', '.join(there)}, which would be replaced: give another --out, or --overwrite.")


def make(
    tuning: "Tuning",
    chosen: str,
    trained: NucleiPreTrainedModel | None,
    processor: NucleiImageProcessor,
    data: Data,
    apart: Data | None,
    identity: dict[str, Any],
) -> Result:
    """The result with its record."""
    figures = tuning.candidates.figures()
    network, folds = tuning.network, tuning.split.folds
    held = {tuning.samples[i].id for fold in folds for i in fold.held_out}
    outcomes = tuning.candidates.outcomes
    why = _why(tuning, chosen, figures)
    notes = [*data.notes, *(apart.notes if apart else []), *tuning.split.notes]
    record = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": not tuning.interrupted,
        "identity": identity,
        "result": {"kept": chosen, "why": why},
        "initial": {
            "model": network.source,
            "revision": network.revision or None,
            "weights_sha256": network.sha256,
            "network": network.title,
            "parameters": sum(p.numel() for p in network.model.parameters()),
        },
        "data": [_about(data), *([_about(apart)] if apart else [])],
        "split": {
            "how": tuning.split.how,
            "folds": len(folds),
            "held_out": sorted(held),
            "measured": sorted(outcomes.get(START, {})),
        },
        "training": _training(tuning),
        "settings": {"start": settings_of(network.processor), "result": settings_of(processor), "said": tuning.said},
        "figures": figures,
        "by_image": {
            name: {i: _short(one.figures) for i, one in by_image.items()}
            for name, by_image in outcomes.items()
            if name in figures
        },
        "notes": notes,
        "versions": versions(),
    }
    return Result(tuning.work.parent, chosen, why, figures, notes, record, outcomes)


def save(
    made: Result, tuning: "Tuning", trained: NucleiPreTrainedModel | None, processor: NucleiImageProcessor, out: Path
) -> None:
    """Write the folder, all of its files together."""
    from .report import build_report

    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if trained is None:
            _copy_start(tuning, folder)
        else:
            trained.save_pretrained(folder)
        processor.save_pretrained(folder)
        made.record["weights_sha256"] = sha256(folder / WEIGHTS)
        (folder / RECORD).write_text(json.dumps(made.record, indent=1) + "\n", encoding="utf-8")
        shown = {sample.id: sample for sample in tuning.measured}
        (folder / REPORT).write_text(build_report(made, shown), encoding="utf-8")
        (folder / CARD).write_text(build_card(folder, name=out.name), encoding="utf-8")
        durable.write_all({out / name: (folder / name).read_bytes() for name in FILES})


def _copy_start(tuning: "Tuning", folder: Path) -> None:
    """The start's own files; the weights are the same, byte for byte. An unpadded network becomes a mirrored one."""
    repository = Repository(parse_model_id(tuning.source)[0], revision=tuning.network.revision or None)
    for name in (CONFIG, WEIGHTS):
        path = repository.find(name)
        assert path is not None
        shutil.copy(path, folder / name)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config[HASH] = sha256(folder / WEIGHTS)
    if "padding" in config:
        config["padding"] = tuning.network.model.config.padding
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _why(tuning: "Tuning", chosen: str, figures: dict[str, Figures]) -> str:
    """Why the result is what it is."""
    if not tuning.split.folds:
        return f"The start is kept, for nothing can show that training helps. {tuning.split.how}"
    start, best = figures[START]["score"], figures[chosen]["score"]
    n = len(tuning.candidates.outcomes[START])
    images = f"the {n} held-out images" if n > 1 else "the held-out image"
    cut = " The run was stopped before its end." if tuning.interrupted else ""
    if chosen != START:
        return f"{chosen.capitalize()}: on {images} the score rose from {start:.3f} to {best:.3f}.{cut}"
    name = tuning.candidates.trained()
    if name is None:
        return "The start is kept: the run was stopped before there were other weights."
    return f"The start is kept: on {images} it scores {start:.3f}, after training {figures[name]['score']:.3f}.{cut}"


def _about(data: Data) -> dict[str, Any]:
    return {
        "folder": data.folder,
        "images": len(data.samples),
        "nuclei": data.nuclei,
        "truth": data.kinds,
        "sha256": data.sha256(),
        "names": [sample.id for sample in data.samples],
    }


def _training(tuning: "Tuning") -> dict[str, Any] | None:
    """The runs and their recipe, and of the one that the network is of its steps; `None` where nothing was trained."""
    run, model = tuning.made.run, tuning.network.model
    if run is None:
        return None
    return {
        "runs": [asdict(run) | {"folder": run.folder and run.folder.parent.name} for run in tuning.runs],
        "steps": run.steps,
        "best_step": run.best_step if len(tuning.split.folds) == 1 else None,
        "crops": run.steps * tuning.recipe.batch * processes.count(),
        "trained_on": tuning.made.images,
        "minutes": round(tuning.budget / 60, 3),
        "minutes_taken": round(tuning.taken / 60, 2),
        "device": _device_name(model.device),
        "processes": processes.count(),
        "recipe": asdict(tuning.recipe.for_network(model, tuning.network.processor)),
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def _short(figures: Figures) -> Figures:
    return {name: round(figures[name], 4) for name in ("score", "bowl_map", "iou", "f1", "a", "b")}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


__all__ = ["RECORD", "Result", "Sample", "count"]
