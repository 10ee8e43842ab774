"""A notebook's torch module through everything a study has, in one call.

result = advgen.evaluate(model, images, labels, attacks=["image/pgd"], budget="Linf 8/255", defense="purify/jpeg")
print(result)               # rates with intervals, and the warnings
result.report("out.html")   # the page
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from advgen.core import images as pictures
from advgen.core.device import choose
from advgen.core.errors import BadArgument
from advgen.core.specs import GIVEN, BudgetSpec, Card, DataSpec, Part, Scalar
from advgen.core.targets import ModuleTarget
from advgen.core.types import Detector, Purifier, Slice
from advgen.experiments.assemble import Assembly
from advgen.experiments.data._table import make_slice
from advgen.experiments.run import run
from advgen.experiments.store import Store
from advgen.experiments.study import parse
from advgen.experiments.tables import rates_table
from advgen.zoo.load import tensors_hash

NAME = "given:images"


@final
@dataclass(frozen=True)
class Evaluation:
    """What came out: a row a sample in `rows`, the rates of each attack, warnings, and the run's folder."""

    store: Store

    @property
    def rows(self) -> pd.DataFrame:
        return self.store.rows()

    @property
    def rates(self) -> pd.DataFrame:
        """Clean accuracy, robust accuracy and success with their intervals, a line for each attack and knowledge."""
        return rates_table(self.rows)

    @property
    def warnings(self) -> list[Any]:
        """The checks that were raised."""
        from advgen.experiments.observed import warnings_of

        return warnings_of(self.store)

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the page (and the tables beside it) and returns where it lies."""
        from advgen.experiments.report.build import build

        return build(self.store, path)

    def __str__(self) -> str:
        table = self.rates
        table = table[(table["attack"] != "") & ~table["control"]]
        shown = pd.DataFrame(
            {
                "attack": [f"{a} {g}".strip() or "none" for a, g in zip(table["attack"], table["attack_args"])],
                "budget": [f"{b} {r}".strip() for b, r in zip(table["budget"], table["radius"])],
                "defense": [d.removeprefix(GIVEN) or "none" for d in table["defense"]],
                "knowledge": table["knowledge"],
                "clean accuracy": _percent(table, "clean_accuracy"),
                "robust accuracy": _percent(table, "robust_accuracy"),
                "n": table["n"],
            }
        )
        lines = [shown.to_string(index=False)]
        lines += [f"warning {w.number}, {w.title}: {w.detail}" for w in self.warnings]
        return "\n".join(lines)


def evaluate(
    model: nn.Module,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray | Sequence[int],
    *,
    attacks: Sequence[str | Mapping[str, Any]] = ("image/pgd",),
    budget: str | Sequence[str] = "Linf 8/255",
    defense: str | Mapping[str, Any] | Sequence[Any] | Purifier | Detector | None = None,
    knowledge: Sequence[str] = ("oblivious", "adaptive"),
    goal: str | Mapping[str, Any] = "untargeted",
    classes: Sequence[str] | None = None,
    calibration: Tensor | np.ndarray | None = None,
    decision: Literal["argmax", "sign"] = "argmax",
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    stochastic: bool = False,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    repeats: int = 1,
    device: str | None = None,
    out: str | Path | None = None,
    question: str = "How robust is this model?",
) -> Evaluation:
    """Attacks a torch module on images (N, C, H, W) in [0, 1] or uint8 and judges the saved bytes.

    `model` returns logits (N, K), never a softmax; `mean` and `std` are its normalisation, if it is not inside.
    `attacks` are names from `advgen list attacks`, or {"name": ..., "args": {...}}; `budget` is "Linf 8/255" or
    several. `defense` is a name, several, or a purifier or detector object; a detector needs `calibration`: clean
    images (N, C, H, W) that are in no other set. `out` is the run's folder (default: a temporary one); the same call
    on the same folder goes on where it stopped.

    Raises:
        BadArgument: images outside [0, 1], labels of another number, an unknown name or a budget that is none.
    """
    sample = _slice("test", images, labels, classes, ids)
    network_classes = tuple(classes) if classes is not None else _classes(model, sample, mean, std)
    sample = sample._replace(classes=network_classes)
    spec = DataSpec(NAME, "test", len(sample.ids))
    assembly = Assembly(choose(device))
    assembly.give_data(NAME, "test", sample)
    if calibration is not None:
        clean = _slice("calibration", calibration, [0] * len(calibration), None, None)
        half = max(1, len(clean.ids) // 3)
        assembly.give_data(NAME, "train", _some(clean, slice(0, half)))
        assembly.give_data(NAME, "calibration", _some(clean, slice(half, None)))
    shape = (int(sample.images_u8.shape[1]), int(sample.images_u8.shape[2]), int(sample.images_u8.shape[3]))
    target = ModuleTarget(
        model.to(assembly.device), network_classes, shape, decision=decision, mean=mean, std=std, stochastic=stochastic
    )
    part = Part(f"{GIVEN}{type(model).__name__}")
    assembly.give_target(part, spec, target, _card(model, part.name))
    defenses = _defenses(defense, assembly)
    study = parse(
        {
            "name": "evaluation",
            "question": question,
            "grids": [
                {
                    "data": [{"name": NAME, "split": "test", "count": len(sample.ids)}],
                    "targets": [part.name],
                    "goals": [goal],
                    "attacks": list(attacks),
                    "budgets": [_budget(b) for b in ([budget] if isinstance(budget, str) else budget)],
                    "defenses": ["none", *defenses],
                    "knowledge": list(knowledge),
                    "seeds": [seed],
                    "repeats": repeats,
                }
            ],
        },
        "evaluate",
    )
    folder = Path(tempfile.mkdtemp(prefix="advgen-")) if out is None else Path(out)
    return Evaluation(run(study, folder, assembly=assembly))


def _percent(table: pd.DataFrame, rate: str) -> list[str]:
    """A rate with its interval, in percent."""
    columns = (table[rate], table[f"{rate}_low"], table[f"{rate}_high"])
    return ["–" if pd.isna(v) else f"{v:.1%} [{low:.1%}, {high:.1%}]" for v, low, high in zip(*columns)]


def _slice(
    split: str,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray | Sequence[int],
    classes: Sequence[str] | None,
    ids: Sequence[str] | None,
) -> Slice:
    tensor = torch.as_tensor(images)
    if tensor.dim() != 4 or tensor.shape[1] not in (1, 3):
        raise BadArgument(f"images must be (N, C, H, W) with 1 or 3 channels, got {tuple(tensor.shape)}.")
    images_u8 = tensor.cpu() if tensor.dtype == torch.uint8 else pictures.to_uint8(tensor).cpu()
    numbers = np.asarray(torch.as_tensor(labels).cpu(), dtype=np.int64).reshape(-1)
    if len(numbers) != len(images_u8):
        raise BadArgument(f"there are {len(images_u8)} images and {len(numbers)} labels; each image needs one.")
    names = list(classes) if classes is not None else [str(k) for k in range(int(numbers.max(initial=0)) + 1)]
    keys = list(range(len(images_u8))) if ids is None else list(ids)
    return make_slice(NAME, split, keys, images_u8, numbers, names, preprocessing={"size": list(images_u8.shape[1:])})


def _some(sample: Slice, part: slice) -> Slice:
    """Clean images are shared out: a third to learn from, the rest to calibrate on."""
    begin, end, _ = part.indices(len(sample.ids))
    return sample._replace(
        ids=sample.ids[part],
        images_u8=sample.images_u8[part],
        labels=sample.labels[part],
        table=sample.table.slice(begin, end - begin),
    )


def _classes(
    model: nn.Module, sample: Slice, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> tuple[str, ...]:
    """Class numbers, as many as the model has logits: one image is shown to it."""
    shape = (int(sample.images_u8.shape[1]), int(sample.images_u8.shape[2]), int(sample.images_u8.shape[3]))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        logits = ModuleTarget(model, (), shape, mean=mean, std=std)(sample.images[:1].to(device)).logits
    return tuple(str(k) for k in range(logits.shape[1]))


def _card(model: nn.Module, name: str) -> Card:
    args: dict[str, Scalar] = {}
    return Card(name, "classifier", "user", args, 0, "", tensors_hash(model), {}, {}, "the user's own")


def _budget(text: str) -> dict[str, str]:
    name, _, radius = text.strip().partition(" ")
    if not radius:
        raise BadArgument(f"a budget is a norm and a radius, such as 'Linf 8/255', got {text!r}.")
    return BudgetSpec(name, radius.strip())._asdict()


def _defenses(defense: Any, assembly: Assembly) -> list[Any]:
    if defense is None:
        return []
    if isinstance(defense, str | Mapping):
        return [defense]
    if isinstance(defense, list | tuple):
        return list(defense)
    if not isinstance(defense, Purifier | Detector):
        raise BadArgument(
            f"a defense is a name from `advgen list defenses`, a purifier or a detector, got {type(defense).__name__}."
        )
    name = f"{GIVEN}{type(defense).__name__}"
    assembly.give_defense(Part(name), defense)
    return [name]
