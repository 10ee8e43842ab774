"""What a contract is: a named function from a subject to a sentence, empty where the contract is kept."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor


class NotApplicable(str):
    """Why a contract has nothing to say of a subject."""


Contract = Callable[[Any], str]
Contracts = Mapping[str, Contract]


class Result(NamedTuple):
    """What became of one contract."""

    name: str
    verdict: Literal["passed", "failed", "waived", "not applicable"]
    detail: str = ""  # the violation, the waiver's reason, or why it does not apply


def named(*contracts: Contract) -> Contracts:
    """Contracts by their functions' names, which are the keys of `waives`."""
    return {contract.__name__: contract for contract in contracts}


def judged(name: str, contract: Contract, subject: Any, waives: Mapping[str, str]) -> Result:
    """Runs one contract. A waiver turns a violation into `waived`, and is a failure itself where it is not needed.

    A plug-in that raises has failed whatever it waives: a waiver must not hide a crash.
    """
    try:
        detail = contract(subject)
    except Exception as error:
        said = f"raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
        return Result(name, "failed", said)
    if name in waives:
        if not detail or isinstance(detail, NotApplicable):
            return Result(name, "failed", f"the waiver is no longer needed ({waives[name]})")
        return Result(name, "waived", f"{waives[name]} ({detail})")
    if isinstance(detail, NotApplicable):
        return Result(name, "not applicable", str(detail))
    return Result(name, "failed", detail) if detail else Result(name, "passed")


def unknown_waivers(known: Contracts, waives: Mapping[str, str]) -> list[Result]:
    """A failure for each waiver of a contract that does not exist."""
    from difflib import get_close_matches

    found = []
    for name in waives:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            found.append(Result(name, "failed", f"a waiver for a contract that does not exist{hint}"))
    return found


def first_violation(*sentences: str) -> str:
    """The first sentence that is not empty, preferring real violations to what does not apply."""
    violations = [s for s in sentences if s and not isinstance(s, NotApplicable)]
    if violations:
        return violations[0]
    if sentences and all(isinstance(s, NotApplicable) for s in sentences):
        return sentences[0]
    return ""


def rows(mask: Tensor) -> str:
    """The positions at which a mask (N,) holds, for sentences."""
    where = [int(i) for i in mask.nonzero()[:, 0]]
    return (
        f"{len(where)} of {len(mask)} images (rows {', '.join(map(str, where[:8]))}{', …' if len(where) > 8 else ''})"
    )


def bad_images(images: Tensor, like: Tensor) -> str:
    """What is wrong with images that should be as `like`: shape, float32, finite, in [0, 1]."""
    if not isinstance(images, Tensor):
        return f"returned {type(images).__name__} where images were expected"
    if images.shape != like.shape:
        return f"returned the shape {tuple(images.shape)} for images {tuple(like.shape)}"
    if images.dtype != torch.float32:
        return f"returned {images.dtype} where float32 was expected"
    if images.requires_grad:
        return "returned images that still carry a graph"
    if images.numel() and not bool(images.isfinite().all()):
        return f"returned values that are not finite in {rows(~images.isfinite().flatten(1).all(1))}"
    if images.numel() and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        return f"returned values from {float(images.min()):g} to {float(images.max()):g}, outside [0, 1]"
    return ""


class GlobalRandomness:
    """The state of every global generator, to compare with itself later."""

    def __init__(self) -> None:
        self._torch = torch.get_rng_state()
        self._numpy = np.random.get_state(legacy=True)
        self._python = random.getstate()

    def changed(self) -> str:
        """Which global generator is no longer where it was; empty = none."""
        now = np.random.get_state(legacy=True)
        if not torch.equal(self._torch, torch.get_rng_state()):
            return "moved torch's global generator"
        same = np.array_equal(np.asarray(self._numpy[1]), np.asarray(now[1])) and self._numpy[2:] == now[2:]
        if not same:
            return "moved numpy's global generator"
        return "" if self._python == random.getstate() else "moved python's global generator"
