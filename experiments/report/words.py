"""What things are called on a page: names, arguments, numbers, and the same in LaTeX."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from advgen.core.specs import GIVEN
from advgen.experiments.stats import Rate

DATA = {
    "given:images": "the given images",
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits",
    "avatars": "avatars",
}
GIVEN_NAMES = {"given:adversarials": "given images"}
NONE = "–"
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "·": r"$\cdot$", '"': r"\textquotedbl{}", "−": "$-$", "≤": r"$\leq$",
}  # fmt: skip


def friendly(name: str) -> str:
    """A name as a reader knows it: without the mark of what a caller gave, without somebody's folders."""
    if name in DATA:
        return DATA[name]
    if name in GIVEN_NAMES:
        return GIVEN_NAMES[name]
    if name.startswith("folder:"):
        return f"folder {PurePath(name.removeprefix('folder:')).name}"
    if name.startswith(GIVEN):
        return f"{name.removeprefix(GIVEN)} (given)"
    if name.startswith(("/", "~")):
        return name.rsplit("/", 1)[-1]
    return name


def defense(name: str) -> str:
    """A defense with its arguments in words: "detect/magnet (fpr 0.05)"."""
    if not name:
        return "no defense"
    return " + ".join(
        re.sub(r" *\((.*)\)$", lambda found: f" ({found[1].replace('=', ' ')})", friendly(part.strip()))
        for part in name.split("+")
    )


def attack(name: str, args: str = "") -> str:
    """An attack with the arguments that differ from its defaults."""
    shown = arguments(args)
    return (friendly(name) if name else "clean") + (f" ({shown})" if shown else "")


def attack_label(label: str) -> str:
    """A label of a portfolio, `name {json} (knowledge)`, in words."""
    name, brace, rest = label.partition(" {")
    if not brace:
        name, _, knowledge = label.rpartition(" (")
        return f"{friendly(name)}, {knowledge.removesuffix(')')}"
    args, _, knowledge = rest.rpartition("} (")
    return f"{attack(name, '{' + args + '}')}, {knowledge.removesuffix(')')}"


def arguments(args: str) -> str:
    """JSON arguments in words: "steps 40, loss margin"."""
    if not args:
        return ""
    values = {k: v for k, v in json.loads(args).items() if k != "content"}
    return ", ".join(f"{k} {v}" for k, v in sorted(values.items()))


def budget(name: str, radius: str) -> str:
    return f"{name} {radius}" if name else "no bound"


def prediction(number: Any, classes: Sequence[str]) -> str:
    """A class by its number; a lone class is asked yes or no."""
    if number is None or number != number:
        return "no answer"
    k = int(number)
    if k < 0:
        return "no finite answer"
    if len(classes) == 1:
        return classes[0] if k else f"not {classes[0]}"
    return str(classes[k]) if k < len(classes) else str(k)


def percent(share: float | None, digits: int = 1) -> str:
    return NONE if share is None or math.isnan(share) else f"{100 * share:.{digits}f}%"


def interval(low: float | None, high: float | None) -> str:
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def told(rate: Rate) -> str:
    """A rate in one line, with its interval and n."""
    return NONE if rate.value is None else f"{percent(rate.value)} {interval(rate.low, rate.high)}"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with so many significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        shown = f"{value:.{digits}g}"
        return f"{value:.0f}" if "e" in shown else shown
    return f"{value:.2e}"


def counted(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(LATEX.get(c, c) for c in text)
