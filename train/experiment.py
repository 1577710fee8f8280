"""An experiment: a YAML file under `train/configs/` -> network, processor and settings, all typed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.inference.loading import load
from nuclei_models.training.augment import AugmentConfig
from nuclei_models.training.teacher import Teacher

NETWORKS = {"unet": (UNetConfig, UNet), "unetpp": (UNetPlusPlusConfig, UNetPlusPlus)}


@dataclass(frozen=True)
class Experiment:
    """The keys of the YAML; each is explained in the files themselves."""

    network: str
    model: dict[str, Any]
    channel_names: list[str]
    data: str
    training: dict[str, Any]
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    ema_decay: float = 0.999
    validation_crop: int = 256
    train_split: str = "train"
    validation_split: str = "validation"
    initial: str | None = None
    shares: dict[str, float] | None = None
    teacher: str | None = None
    teacher_part: float = 0.5

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """Read a YAML file.

        Args:
            path: The file.
            overrides: "key.key=value", the value in YAML, as in "training.max_steps=10".

        Raises:
            ValueError: An unknown key or network; the message names it.
        """
        raw = yaml.safe_load(Path(path).read_text())
        for override in overrides:
            key, _, value = override.partition("=")
            *parents, last = key.split(".")
            node = raw
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = yaml.safe_load(value)
        known = {f.name for f in fields(cls)}
        if unknown := set(raw) - known:
            raise ValueError(f"{path}: unknown keys {sorted(unknown)}; there are {sorted(known)}.")
        if raw.get("network") not in NETWORKS:
            raise ValueError(f"{path}: network is {raw.get('network')!r}, expected one of {sorted(NETWORKS)}.")
        try:
            raw["augment"] = AugmentConfig(**raw.get("augment", {}))
        except TypeError as error:
            raise ValueError(f"{path}: augment: {error}") from error
        return cls(**raw)

    def build(self) -> tuple[PreTrainedModel, NucleiImageProcessor]:
        """The network and its processor: new ones, for which to seed before, or those of the folder `initial`.

        Raises:
            ValueError: `initial` holds another network than `model` and `channel_names` ask for.
        """
        config_class, model_class = NETWORKS[self.network]
        id2label = dict(enumerate(self.channel_names))
        config = config_class(**self.model, id2label=id2label, label2id={v: k for k, v in id2label.items()})
        if self.initial is None:
            return model_class(config), NucleiImageProcessor(channel_names=self.channel_names)
        earlier, processor = load(self.initial)
        model = model_class(config)
        try:
            model.load_state_dict(earlier.state_dict())
        except RuntimeError as error:
            raise ValueError(f"initial: {self.initial} holds another network than `model` asks for: {error}") from error
        return model, processor

    def build_teacher(self) -> Teacher | None:
        """The network of the folder `teacher`, which says `teacher_part` of the targets; `None` if there is none."""
        return None if self.teacher is None else Teacher(load(self.teacher)[0], self.teacher_part)
