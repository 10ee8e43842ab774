"""From a GAN recipe's parts to a checkpoint with its card: train, store in half precision, measure, save.

Averaged weights are chosen by FID against the validation split; the test split is measured once, for the card.
"""

import platform
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import advgen
from advgen.core import checkpoints
from advgen.core.specs import Card, Scalar
from advgen.experiments.recipes._gan_measure import measured, validation_score
from advgen.experiments.recipes._gan_train import GanPlan, GanRun, Trained
from advgen.experiments.recipes._gan_watch import Look
from advgen.experiments.recipes._make import Splits, Work, finished
from advgen.generators.stylegan2 import DiscriminatorConfig, GeneratorConfig, StyleGAN2Generator


class GanTraining(NamedTuple):
    """All that makes one GAN, apart from where and how it runs."""

    name: str  # of the checkpoint
    recipe: str
    args: Mapping[str, Scalar]
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    splits: Splits
    conditions: Tensor | None  # of the train split, (N, its length)
    plan: GanPlan
    keep: str = "generator"  # or all, looks, state


def make_gan(training: GanTraining, work: Work) -> Card:
    """Trains, measures and saves; with `work.resume` a checkpoint that is already finished is kept as it is."""
    path = work.out / f"{training.name}.safetensors"
    state = work.out / f"{training.name}.state.safetensors"
    limit: dict[str, Scalar] = {} if work.limit is None else {"limit": work.limit}
    args: dict[str, Scalar] = {**training.args, **limit, **training.splits.hashes()}
    if work.resume and not state.exists() and (kept := finished(path, training.recipe, args, work.seed)):
        return kept
    work.out.mkdir(parents=True, exist_ok=True)
    progress = work.out / f"{training.name}.progress"
    train, validation = training.splits.train, training.splits.validation
    run = GanRun(
        training.generator,
        training.discriminator,
        train.images_u8,
        training.conditions,
        training.plan,
        training.name,
        state,
        {**args, "seed": work.seed},
        work.seed,
        work.device,
        work.limit,
        validation_score(validation.images_u8, training.conditions, work.seed, shown=training.plan.images),
        Look(progress, training.name, train.images_u8, training.conditions, work.seed),
        partial(_keep_look, training, work, args, progress) if training.keep == "looks" else None,
    )
    trained = run.train(resume=work.resume, meter=work.meter)
    if run.rank == 0:
        _save(training, work, args, trained, path)
        if training.keep != "state":
            state.unlink(missing_ok=True)
    run.fabric.barrier()
    return checkpoints.read_card(path)


def _keep_look(
    training: GanTraining, work: Work, args: dict[str, Scalar], folder: Path, net: StyleGAN2Generator, images: int
) -> None:
    """The averaged generator of a look beside its picture: IMAGES.safetensors."""
    tensors = {f"G_ema.{key}": value.cpu().half() for key, value in net.state_dict().items()}
    card = Card(
        name=f"{training.name}_at_{images}",
        kind="generator",
        recipe=training.recipe,
        args=args,
        seed=work.seed,
        data_hash=training.splits.train.hash,
        file_hash="",
        metrics={"stored as": "float16"},
        cost={"images": images},
        licence="MIT",
    )
    checkpoints.save(folder / f"{images:08d}.safetensors", tensors, card)


def _save(training: GanTraining, work: Work, args: dict[str, Scalar], trained: Trained, path: Path) -> None:
    networks = {"G_ema": trained.generator}
    if training.keep in ("all", "state"):
        networks |= {"G": trained.raw_generator, "D": trained.discriminator}
    tensors = {
        f"{name}.{key}": value.half() for name, net in networks.items() for key, value in net.state_dict().items()
    }
    own = {k.removeprefix("G_ema."): v.float() for k, v in tensors.items() if k.startswith("G_ema.")}
    trained.generator.load_state_dict(own)  # what is measured is what is stored
    card = Card(
        name=training.name,
        kind="generator",
        recipe=training.recipe,
        args=args,
        seed=work.seed,
        data_hash=training.splits.train.hash,
        file_hash="",
        metrics={
            **measured(
                trained.generator, training.splits, training.conditions, work.seed, shown=trained.cost["images"]
            ),
            "chosen at images": trained.chosen["images"],
            "validation score": trained.chosen["score"],
            "warnings": sum(len(row.get("warnings", ())) for row in trained.log),
            "stored as": "float16",
        },
        cost={**trained.cost, "parameters": sum(p.numel() for p in trained.generator.parameters())},
        licence="MIT",
        made_with={"advgen": advgen.__version__, "torch": torch.__version__, "python": platform.python_version()},
    )
    checkpoints.save(path, tensors, card)
