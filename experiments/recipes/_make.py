"""From a recipe's parts to a checkpoint with its card: load the splits, train, round to half precision, measure, save.

The test split is measured once, after validation has chosen the weights; nothing of it reaches the training.
"""

import platform
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import advgen
from advgen.core import checkpoints
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.core.specs import Args, Card, DataSpec, Scalar
from advgen.core.types import Slice
from advgen.experiments.data._load import load
from advgen.experiments.recipes._train import Plan, fit
from advgen.zoo.load import Network
from advgen.zoo.networks import build


class Work(NamedTuple):
    """Where and how a recipe runs, the same arguments for every recipe."""

    out: Path  # the folder that gets NAME.safetensors and NAME.json
    seed: int
    device: str
    resume: bool
    limit: int | None  # steps; None = the whole training
    meter: Meter


class Splits(NamedTuple):
    train: Slice
    validation: Slice
    test: Slice

    def hashes(self, name: str = "data") -> dict[str, Scalar]:
        return {f"{name}.{split}": part.hash for split, part in self._asdict().items()}


class Training(NamedTuple):
    """All that makes one network, apart from where and how it runs."""

    name: str  # of the checkpoint
    kind: str  # as on the card
    recipe: str
    args: Mapping[str, Scalar]  # of the recipe
    described: Network | None  # None for what is not built by `zoo.networks`
    hashes: Mapping[str, Scalar]  # of the slices it was made from, as they stand on the card
    tensors: tuple[Tensor, ...]  # of the train split, of one length; a batch is rows of them
    plan: Plan
    measure: Callable[[nn.Module], dict[str, Any]]  # on the test split, for the card; of what is kept
    licence: str = "MIT"
    stands_in_for: str | None = None
    create: Callable[[], nn.Module] | None = None  # the network with its first weights; None = as `described`
    keep: str = ""  # the submodule that is described and saved; the rest serves the training


def load_splits(data: str, size: int | None, args: Args = (), *, counts: Mapping[str, int] | None = None) -> Splits:
    """The train, validation and test splits of a data set."""
    counts = counts or {}
    return Splits(
        *(load(DataSpec(data, split, counts.get(split, 0), size, args)) for split in ("train", "validation", "test"))
    )


def make(training: Training, work: Work) -> Card:
    """Trains, rounds, measures and saves; with `work.resume` a checkpoint that is already finished is kept as it is."""
    path = work.out / f"{training.name}.safetensors"
    state = work.out / f"{training.name}.state.safetensors"
    limit: dict[str, Scalar] = {} if work.limit is None else {"limit": work.limit}
    described = {} if training.described is None else training.described.to_args()
    args = {**training.args, **limit, **training.hashes, **described}
    if work.resume and not state.exists() and (done := finished(path, training.recipe, args, work.seed)):
        return done
    network = _fresh(training, work.seed)
    fitted = fit(
        network, training.tensors, training.plan, name=training.name, state=state, identity=args, seed=work.seed,
        device=work.device, resume=work.resume, limit=work.limit, meter=work.meter,
    )  # fmt: skip
    tensors, dtype = _rounded(fitted.network, training.plan, fitted.score)
    kept, prefix = fitted.network.get_submodule(training.keep), f"{training.keep}." if training.keep else ""
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    with torch.no_grad():
        measured = training.measure(kept)
    card = checkpoints.save(
        path,
        tensors,
        Card(
            name=training.name,
            kind=training.kind,
            recipe=training.recipe,
            args=args,
            seed=work.seed,
            data_hash=_data_hash(training.hashes),
            file_hash="",
            metrics={**measured, "validation score": fitted.score, "epoch": fitted.epoch, "stored as": dtype},
            cost={**fitted.cost, "parameters": sum(p.numel() for p in kept.parameters())},
            licence=training.licence,
            stands_in_for=training.stands_in_for,
            made_with={"advgen": advgen.__version__, "torch": torch.__version__, "python": platform.python_version()},
        ),
    )
    state.unlink(missing_ok=True)
    return card


def _fresh(training: Training, seed: int) -> nn.Module:
    """The network with its first weights, drawn from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "train/initial weights", ""))
        if training.create is not None:
            return training.create()
        assert training.described is not None, f"{training.name} says neither what it is nor how to create it"
        return build(training.described.architecture, **training.described.kwargs)


def _data_hash(hashes: Mapping[str, Scalar]) -> str:
    """The hash of the train slice; of several sources, one over all of theirs."""
    trained = [str(value) for name, value in sorted(hashes.items()) if name.endswith(".train")]
    return trained[0] if len(trained) == 1 else blake2b("\x1f".join(trained).encode(), digest_size=16).hexdigest()


def finished(path: Path, recipe: str, args: Mapping[str, Scalar], seed: int) -> Card | None:
    """The card of a checkpoint that this very training made, if it is there."""
    if not (path.exists() and checkpoints.card_path(path).exists()):
        return None
    card = checkpoints.read_card(path)
    same = card.recipe == recipe and dict(card.args) == dict(args) and card.seed == seed
    return card if same else None


def _rounded(network: nn.Module, plan: Plan, score: float) -> tuple[dict[str, Tensor], str]:
    """The weights as they are stored, and the network set to them: half precision where validation hardly notices."""
    whole = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in whole.items()}
    network.load_state_dict({name: tensor.to(whole[name].dtype) for name, tensor in half.items()})
    with torch.no_grad():
        if plan.score(network) >= score - plan.half_costs:
            return half, "float16"
    network.load_state_dict(whole)
    return whole, "float32"
