"""Train a network.

    python -m train.train --config train/configs/unetpp.yaml                      one machine, CPU or GPU
    accelerate launch --num_processes 4 -m train.train --config ...               four GPUs
    torchrun --nproc_per_node 2 -m train.train --device cpu --config ...          two processes on a CPU
    accelerate launch --num_machines 2 --machine_rank R --main_process_ip IP -m train.train --config ...
    python -m train.train --config ... --set training.max_steps=100               change a key for once
    python -m train.train --config ... --device cpu                               not on the GPU that is there

The output folder gets `best/` (the weights with the best validation mAP, and the processor), `checkpoint-*` (an
interrupted run goes on from the last when started again), `log.json`, `curves.png` and TensorBoard's files.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import TrainingArguments, set_seed

from nuclei_models.inference.device import choose_device, describe
from nuclei_models.training.curves import draw_curves
from nuclei_models.training.dataset import TrainingCrops, collate, validation_item
from nuclei_models.training.memory import kept_between_steps
from nuclei_models.training.packed import load_packed
from nuclei_models.training.trainer import Ema, NucleiTrainer, last_checkpoint
from nuclei_models.training.upsampling import bias_apart
from train.data import read_split
from train.experiment import Experiment


def train(experiment: Experiment) -> Path:
    """Train, or go on training, and return the output folder."""
    args = TrainingArguments(
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        eval_strategy="steps",
        save_strategy="steps",
        save_total_limit=2,
        logging_first_step=True,
        label_names=["labels"],
        **experiment.training,
    )
    if args.max_steps < 1:
        raise ValueError(
            f"training.max_steps is {args.max_steps}: give the number of steps. Every step draws new crops, so that "
            f"there are no epochs, and num_train_epochs means nothing here."
        )
    set_seed(args.seed)
    if args.process_index == 0:
        print(f"Training on {describe(args.device)}{f', {args.world_size} processes' * (args.world_size > 1)}.")
    model, processor = experiment.build()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    samples = load_packed(experiment.data, read_split(experiment.train_split))
    held_out = load_packed(experiment.data, read_split(experiment.validation_split))
    length = args.max_steps * args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    trainer = NucleiTrainer(
        model=model,
        args=args,
        train_dataset=TrainingCrops(samples, processor, experiment.augment, length, args.seed, experiment.shares),
        validation=[validation_item(s, processor, experiment.validation_crop) for s in held_out],
        data_collator=collate,
        processor=processor,
        ema=Ema(experiment.ema_decay),
        teacher=experiment.build_teacher(),
    )
    out = Path(experiment.training["output_dir"])
    begun = last_checkpoint(out)
    with kept_between_steps(args.device) as kept, bias_apart(model):
        if kept and args.process_index == 0:
            print("Memory that a step frees is kept for the next step, and given back at the end.")
        trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    if trainer.is_world_process_zero():
        (out / "log.json").write_text(json.dumps(trainer.state.log_history, indent=1) + "\n")
        draw_curves(trainer.state.log_history, out / "curves.png")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="an experiment under train/configs/")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="override keys of the config")
    parser.add_argument("--device", help="auto, cpu, cuda or mps; default: a GPU if there is one")
    args = parser.parse_args()
    device = choose_device(args.device)
    overrides = [*args.set, *(["training.use_cpu=true"] if device.type == "cpu" else [])]
    print(f"Done: {train(Experiment.read(args.config, overrides))}")


if __name__ == "__main__":
    main()
