"""AutoAttack: several strong attacks in turn, each on the images that still stand; the worst case image by image.

standard = APGD on cross-entropy, targeted APGD, FAB-T, Square; plus = APGD on cross-entropy and DLR, FAB, Square,
targeted APGD, FAB-T, with five restarts; rand = both APGDs with EOT; custom = your list. A target with one logit or two
(a detector), or one that decides logit by logit, has no DLR: there it is APGD on the margin, FAB and Square. Square has
no L1, and is left out there.

On a random target it is always the `rand` parts: every image goes through all of them, none is dropped after a lucky
hit, and of each image the version is kept that fools most of `judged` fresh draws. With `resume`, what is done after
each part is written down, and an interrupted run goes on there.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
arXiv 2003.01690, section 5; steps, restarts, queries and EOT draws are those of the authors' code.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from advgen.attacks.blackbox.square import Square
from advgen.attacks.engine import Problem, ask
from advgen.attacks.image.apgd import APGD
from advgen.attacks.image.apgdt import APGDT
from advgen.attacks.minimum.fab import FAB
from advgen.core.errors import BadArgument, BadFile, UnknownName
from advgen.core.files import write_atomically
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.spaces import Pixels
from advgen.core.types import Attack, AttackResult, Budget, Goal, Target

VERSIONS = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
    "rand": ("apgd-ce", "apgd-dlr"),
}
FEW_LOGITS = ("apgd-margin", "fab", "square")
PARTS = ("apgd-ce", "apgd-dlr", "apgd-margin", "apgd-t", "fab", "fab-t", "square")


@final
@dataclass(frozen=True)
class AutoAttack:
    paper = "Croce & Hein 2020, arXiv 2003.01690"
    access = "white-box"
    goals = ("untargeted", "pass-as-real", "evade-identity")
    budgets = ("Linf", "L2", "L1")
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "queries": 30, "samples": 2, "judged": 4}

    budget: Budget
    version: Literal["standard", "plus", "rand", "custom"] = "standard"
    parts: tuple[str, ...] = ()  # of version custom: apgd-ce, apgd-dlr, apgd-margin, apgd-t, fab, fab-t, square
    steps: int = 100  # of APGD and FAB
    candidates: int = 9  # other classes of the targeted parts
    queries: int = 5000  # of Square
    samples: int = 20  # draws of a random target averaged a step (EOT)
    judged: int = 20  # fresh draws by which images are compared on a random target
    stop: Literal["never", "success"] = "never"  # whether a sample leaves a part once its saved bytes fool
    # search a prepared copy of the network; the raw one judges
    fast: Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"] = "no"
    resume: str = ""  # folder in which what is done is kept; empty = none

    def __post_init__(self) -> None:
        if min(self.steps, self.candidates, self.queries, self.samples, self.judged) < 1:
            raise BadArgument(
                "steps, candidates, queries, samples and judged of ensemble/autoattack must be 1 or more, got "
                f"{self.steps}, {self.candidates}, {self.queries}, {self.samples} and {self.judged}."
            )
        for part in self.parts:
            if part not in PARTS:
                raise UnknownName.among("part of ensemble/autoattack", part, PARTS)
        if (self.version == "custom") != bool(self.parts):
            raise BadArgument("ensemble/autoattack takes parts with version='custom', and then one at least.")

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if goal.wanted is not None:
            raise BadArgument(
                f"ensemble/autoattack looks for any other class, and the goal {goal.name!r} wants one; use image/apgd."
            )
        problem = Problem(Counted(target, meter), Pixels(), self.budget, goal, images, rng, meter)
        names = self._names(target)
        standing = _Standing.of(images, self._judged(problem, images))
        place = self._place(problem, names, standing) if self.resume and len(images) else None
        done, standing = _read(place, standing) if place is not None else (0, standing)
        for part in range(done, len(names)):
            # A random target keeps all: one lucky hit is not a win.
            left = torch.ones_like(standing.won) if target.stochastic else ~standing.won
            where = left.nonzero()[:, 0]
            if len(where):
                few = problem.take(where)
                attack = self._attack(names[part], target.stochastic)
                found = attack.run(
                    target.take(where), few.originals, few.goal, rng=few.rng.fork(names[part]), meter=meter
                ).images
                inside = self.budget.take(where).contains(found, few.originals).reshape(-1, 1, 1, 1)
                found = torch.where(inside, found, few.originals)  # the nearest change may lie outside
                standing.improve(where, found, self._judged(few, found), part)
            if place is not None:
                write_atomically(place, save({**standing.tensors(), "done": torch.tensor(part + 1)}))
        return AttackResult(standing.images, {"part": standing.part, "success": standing.share})

    def _names(self, target: Target) -> tuple[str, ...]:
        """The parts, for this kind of target."""
        if self.version == "custom":
            return self.parts
        few = target.decision == "sign" or len(target.classes) < 3
        if target.stochastic or self.version == "rand":
            return FEW_LOGITS[:1] if few else VERSIONS["rand"]
        names = FEW_LOGITS if few else VERSIONS[self.version]
        return tuple(n for n in names if n != "square" or self.budget.name in ("Linf", "L2"))

    def _attack(self, name: str, stochastic: bool) -> Attack:
        restarts = 5 if self.version == "plus" else 1
        eot = self.samples if stochastic or self.version == "rand" else 1
        objectives: dict[str, Literal["cross_entropy", "dlr", "margin"]] = {
            "apgd-ce": "cross_entropy",
            "apgd-dlr": "dlr",
            "apgd-margin": "margin",
        }
        if name in objectives:
            return APGD(
                self.budget,
                self.steps,
                restarts,
                objectives[name],
                samples=eot,
                stop=self.stop,
                fast=self.fast,
            )
        # What FAB finds lies on the boundary in any case; once it is inside the budget, nearer is no stronger.
        fab = FAB(self.budget, steps=self.steps, candidates=self.candidates, stop="success", fast=self.fast)
        makes: dict[str, Callable[[], Attack]] = {
            "apgd-t": lambda: APGDT(
                self.budget, self.steps, self.candidates, samples=eot, stop=self.stop, fast=self.fast
            ),
            "fab": lambda: replace(fab, restarts=restarts),
            "fab-t": lambda: replace(fab, one_at_a_time=True),
            "square": lambda: Square(self.budget, self.queries, samples=eot, stop=self.stop, fast=self.fast),
        }
        return makes[name]()

    def _judged(self, problem: Problem, images: Tensor) -> "_Judged":
        """What the target says of images: on their bytes and in float, or over fresh draws of a random target."""
        with torch.no_grad():
            if problem.target.stochastic:
                draws = problem.rng.fork("judged")
                asked = [problem.target(images, draws) for _ in range(self.judged)]
                share = torch.stack([problem.goal.reached(o).float() for o in asked]).mean(0)
                return _Judged(share, torch.stack([problem.goal.loss(o) for o in asked]).mean(0), share == 1)
            originals_u8 = (problem.originals * 255).round().to(torch.uint8)
            saved = problem.budget.to_uint8(images, originals_u8).to(images.dtype) / 255
            loss, in_float = ask(problem, images, 1)
            _, on_bytes = ask(problem, saved, 1)
        return _Judged((in_float.float() + on_bytes.float()) / 2, loss, in_float & on_bytes)

    def _place(self, problem: Problem, names: tuple[str, ...], standing: "_Standing") -> Path:
        """A file for exactly this run: arguments, seed, ids, images, labels and what the target says of them."""
        arguments = {k: v for k, v in asdict(self).items() if k not in ("budget", "resume")}
        text = repr((arguments, self.budget.name, self.budget.radius, names, problem.rng.seed, problem.rng.ids))
        digest = blake2b(text.encode(), digest_size=16)
        for tensor in (problem.originals, problem.goal.labels, standing.loss):
            digest.update(tensor.cpu().numpy().tobytes())
        return Path(self.resume).expanduser() / f"autoattack-{digest.hexdigest()}.safetensors"


class _Judged(NamedTuple):
    share: Tensor  # (N,) of the draws that fooled; without draws half for the float image, half for its bytes
    loss: Tensor  # (N,)
    won: Tensor  # (N,) bool


@dataclass
class _Standing:
    """The best image of each sample so far, and which part found it (-1 = none)."""

    images: Tensor
    share: Tensor
    loss: Tensor
    won: Tensor
    part: Tensor

    @staticmethod
    def of(images: Tensor, judged: _Judged) -> "_Standing":
        none = torch.full((len(images),), -1, dtype=torch.int64, device=images.device)
        return _Standing(images.clone(), judged.share.clone(), judged.loss.clone(), judged.won.clone(), none)

    def improve(self, where: Tensor, images: Tensor, judged: _Judged, part: int) -> None:
        more = judged.share > self.share[where]
        better = more | ((judged.share == self.share[where]) & (judged.loss < self.loss[where]))
        at = where[better]
        self.images[at], self.share[at], self.loss[at] = images[better], judged.share[better], judged.loss[better]
        self.won[at] = judged.won[better]
        self.part[where[more]] = part

    def tensors(self) -> dict[str, Tensor]:
        return {name: value.contiguous() for name, value in vars(self).items()}


def _read(place: Path, standing: _Standing) -> tuple[int, _Standing]:
    """How many parts are done, and what they found; none where there is no file yet."""
    if not place.is_file():
        return 0, standing
    try:
        tensors = load_file(place, device=str(standing.images.device))
        done = int(tensors.pop("done"))
        return done, _Standing(**tensors)
    except (SafetensorError, KeyError, TypeError) as error:
        raise BadFile(f"{str(place)!r} is no state of AutoAttack; remove it to begin anew.") from error
