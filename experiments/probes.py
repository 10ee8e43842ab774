"""Probes: what the checks must know of networks and data beside the rows, asked once a run on clean images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument, UserError
from advgen.core.images import to_float
from advgen.core.rng import SampleRng
from advgen.core.specs import GIVEN, Cell, DataSpec, Part
from advgen.core.types import Defended, Slice
from advgen.experiments import fakes, validity
from advgen.experiments.assemble import Assembly
from advgen.experiments.data._load import overlap
from advgen.experiments.judge import logits_of
from advgen.experiments.keys import validity_key
from advgen.experiments.study import written
from advgen.metrics.certified import certified

COUNT = 128  # clean images that a network is shown
BASELINE_COUNT = 1000  # training images behind the plain baseline
CERTIFIED_COUNT = 256  # bounds are computed for at most so many images


def probe(cells: Sequence[Cell], assembly: Assembly, known: dict[str, Any]) -> dict[str, Any]:
    """What is new in these cells, added to what is known already (a JSON value)."""
    kinds = ("targets", "pipelines", "data", "certified", "fakes", "makers", "validity")
    found = {part: dict(known.get(part, {})) for part in kinds}
    for cell in cells:
        name = f"{cell.data}|{cell.target}"
        if name not in found["targets"]:
            found["targets"][name] = _asked(_target, cell, assembly)
        _refuse_softmax(cell, found["targets"][name])
        pipeline = f"{name}|{written(cell.defense)}"
        if pipeline not in found["pipelines"]:
            found["pipelines"][pipeline] = _asked(_pipeline, cell, assembly)
        if str(cell.data) not in found["data"]:
            found["data"][str(cell.data)] = _data(cell.data, assembly)
        for part in filter(fakes.learns_fakes, (*cell.defense, cell.target)):
            if f"{cell.data}|{part}" not in found["fakes"]:
                if part in cell.defense:
                    found["fakes"][f"{cell.data}|{part}"] = fakes.audited(part, cell, assembly)
                else:
                    own = assembly.detector_cell(part, cell.data)
                    alarm = assembly.target(part, cell.data)[0].network.alarm
                    found["fakes"][f"{cell.data}|{part}"] = fakes.audited(own.defense[0], own, assembly, alarm)
        if cell.attack is not None and f"{cell.data}|{cell.attack}" not in found["makers"]:
            maker = fakes.generator_of(cell.attack, cell, assembly)
            if maker is not None:
                found["makers"][f"{cell.data}|{cell.attack}"] = maker
        maker = found["makers"].get(f"{cell.data}|{cell.attack}")
        judged = validity_key(cell, maker)
        if judged not in found["validity"] and validity.applies(cell, assembly.slice(cell.data)):
            found["validity"][judged] = validity.errors(cell, maker, assembly)
        if cell.budget is not None and cell.budget.name == "Linf" and not cell.defense:
            bound = f"{name}|{cell.budget.radius}"
            if bound not in found["certified"]:
                ids = _certified(cell.target, cell.data, cell.budget.value, assembly)
                if ids is not None:
                    found["certified"][bound] = ids
    return found


def _refuse_softmax(cell: Cell, answer: dict[str, Any] | None) -> None:
    # One number in [0, 1] may well be a logit; several that sum to 1 are not.
    if answer is not None and answer["softmax"] and answer["outputs"] > 1:
        raise BadArgument(
            f"the target {cell.target.name} returns probabilities (all in [0, 1], summing to 1), not logits; gradients "
            "vanish behind a softmax, so give the network without it."
        )


def _asked(
    question: Callable[[Cell, Assembly], dict[str, Any]], cell: Cell, assembly: Assembly
) -> dict[str, Any] | None:
    """The answer; None where the pipeline raises on a clean image, whose row will say so."""
    try:
        return question(cell, assembly)
    except UserError:
        raise
    except Exception:
        return None


def _target(cell: Cell, assembly: Assembly) -> dict[str, Any]:
    """Saturation and softmax-likeness of a target's logits on clean images."""
    sample = assembly.slice(cell.data)
    target, _ = assembly.target(cell.target, cell.data)
    logits = _answers(Defended(target), sample, assembly, "probe")
    if logits.shape[1] == 1:
        one_hot = torch.sigmoid(logits).frac() == 0
        like_softmax = bool(((logits >= 0) & (logits <= 1)).all())
        saturated = int(one_hot.all(1).sum())
    else:
        saturated = int((logits.softmax(1).amax(1) == 1).sum())
        like_softmax = bool(((logits >= 0) & (logits <= 1)).all() and ((logits.sum(1) - 1).abs() < 1e-3).all())
    return {"saturated": saturated, "n": len(logits), "softmax": like_softmax, "outputs": logits.shape[1]}


def _pipeline(cell: Cell, assembly: Assembly) -> dict[str, Any]:
    """Whether two answers to the same clean images differ, other random numbers given."""
    sample = assembly.slice(cell.data)
    defended = assembly.defended(cell)
    first, second = (_answers(defended, sample, assembly, purpose) for purpose in ("probe/0", "probe/1"))
    return {"differs": not torch.equal(first, second)}


def _data(spec: DataSpec, assembly: Assembly) -> dict[str, Any]:
    """A plain baseline's accuracy (the better of the largest class and the nearest class mean) and shared images."""
    sample = assembly.slice(spec)
    if spec.name.startswith(GIVEN):
        return {}
    try:
        train = assembly.slice(spec._replace(split="train", count=0))
    except UserError:
        return {}  # a set without a training part has neither a baseline nor an overlap
    shared = len(overlap(train, sample))
    few = min(BASELINE_COUNT, len(train.ids))
    flat = train.images_u8[:few].flatten(1).double().numpy()
    labels = train.labels[:few].numpy()
    classes = np.unique(labels)
    means = np.stack([flat[labels == k].mean(0) for k in classes])
    tested = sample.images_u8.flatten(1).double().numpy()
    nearest = classes[((tested[:, None] - means[None]) ** 2).sum(-1).argmin(1)] if len(tested) < 2000 else None
    truth = sample.labels.numpy()
    largest = float((truth == np.bincount(labels).argmax()).mean())
    return {
        "shared": shared,
        "baseline": largest if nearest is None else max(largest, float((nearest == truth).mean())),
    }


def _certified(part: Part, data: DataSpec, radius: float, assembly: Assembly) -> list[str] | None:
    """Ids of images that no change within `radius` can turn, for networks small enough to bound; None elsewhere."""
    target, card = assembly.target(part, data)
    if not card.args.get("trained_eps") or not isinstance(target.network, nn.Sequential):
        return None
    sample = assembly.slice(data)
    images = to_float(sample.images_u8[:CERTIFIED_COUNT])
    safe = certified(
        list(target.network), images, sample.labels[:CERTIFIED_COUNT], radius, mean=target.mean, std=target.std
    )
    return [sample.ids[i] for i in range(len(images)) if bool(safe[i])]


def _answers(defended: Defended, sample: Slice, assembly: Assembly, purpose: str) -> Tensor:
    ids = sample.ids[:COUNT]
    images = to_float(sample.images_u8[:COUNT]).to(assembly.device)
    return logits_of(defended, images, SampleRng.for_samples(0, purpose, ids))
