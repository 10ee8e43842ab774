"""What a bridge to another attack library needs: options from text, borrowed randomness, errors as sentences."""

import ast
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument, UnknownName, UserError
from advgen.core.plugins import NotLiteral, value_of
from advgen.core.types import Budget, Goal, Target


def parse_options(text: str, method: str, known: Iterable[str], fixed: Mapping[str, str]) -> dict[str, Any]:
    """The keyword arguments in "steps=10, alpha=2/255, norm=ce"; a bare word is text.

    `known` are the names that `method` takes; `fixed` says of some of them who sets them.

    Raises:
        UnknownName: a name that the method does not take.
        BadArgument: not of this form, or a name in `fixed`.
    """
    wrong = f"options of {method} must read like 'steps=10, alpha=2/255', got {text!r}."
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError):
        raise BadArgument(wrong) from None
    if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
        raise BadArgument(wrong)
    given: dict[str, Any] = {}
    known = [name for name in known if name not in fixed]
    for keyword in call.keywords:
        name = keyword.arg
        if name is None:
            raise BadArgument(wrong)
        if name in fixed:
            raise BadArgument(f"{name!r} of {method} is not an option: {fixed[name]}.")
        if name not in known:
            raise UnknownName.among(f"option of {method}", name, known)
        try:
            given[name] = keyword.value.id if isinstance(keyword.value, ast.Name) else _value(keyword.value)
        except NotLiteral:
            said = ast.unparse(keyword.value)
            raise BadArgument(f"{name} of {method} must be a number or a word, got {said!r}.") from None
    return given


@contextmanager
def borrowed_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds the global generators of torch, numpy and python, and puts them back as they were afterwards."""
    states = (np.random.get_state(), random.getstate())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(states[0])
            random.setstate(states[1])


@final
class PeerModule(nn.Module):
    """A target's module as another library meets it: float32 whatever it is handed, its own errors remembered."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module = module
        self.raised: Exception | None = None
        # Libraries ask the first parameter for the device.
        self.where = nn.Parameter(torch.zeros((), device=device), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        try:
            logits: Tensor = self.module(images.to(torch.float32))
        except Exception as error:
            self.raised = error
            raise
        return logits


@contextmanager
def in_a_sentence(method: str, module: PeerModule) -> Iterator[None]:
    """Turns what `method` raises into a sentence, and lets the target's own errors through; prints go to stderr."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise BadArgument(f"{method} needs the package {error.name!r}, and it is not installed.") from error
    except Exception as error:
        if module.raised is not None and _comes_from(error, module.raised):
            raise module.raised from None
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BadArgument(f"{method} cannot attack this target: {lines[0].strip().rstrip('.')}.") from error


def labels_for(goal: Goal, target: Target, method: str) -> Tensor:
    """(N,) classes of the module that a library attacks: what it goes away from, or towards where one is wanted.

    Raises:
        BadArgument: a goal over several signs, which a library that takes the argmax cannot have.
    """
    if target.decision == "sign" and len(target.classes) > 1:
        raise BadArgument(
            f"{method} goes by the highest logit, and this target decides each of its {len(target.classes)} logits by "
            "its sign; use an attack of our own."
        )
    if goal.name == "pass-as-real":
        return torch.ones_like(goal.labels)
    return goal.labels if goal.wanted is None else goal.wanted


def one_radius(budget: Budget, method: str) -> float:
    """The radius as a number.

    Raises:
        BadArgument: the radius differs between samples.
    """
    radius = budget.radius
    if isinstance(radius, Tensor):
        if radius.numel() == 0 or float(radius.min()) != float(radius.max()):
            raise BadArgument(f"{method} takes one radius for all images, and this budget has one for each.")
        return float(radius.max())
    return float(radius)


def returned(images: Tensor, originals: Tensor) -> tuple[Tensor, Tensor]:
    """What a library returned, as float32 in [0, 1], and where (N,) it held numbers that are not finite.

    Those pixels are the original's. Nothing else is mended: the budget is not enforced, so that what is judged is what
    the library found.
    """
    finite = images.isfinite()
    mended = torch.where(finite, images.detach().to(originals), originals).clamp(0.0, 1.0)
    return mended, ~finite.flatten(1).all(1)


def _value(node: ast.expr) -> Any:
    return value_of(ast.unparse(node))


def _comes_from(error: BaseException | None, source: BaseException) -> bool:
    while error is not None:
        if error is source:
            return True
        error = error.__cause__ or error.__context__
    return False
