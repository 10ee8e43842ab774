"""Ours against each other library's, attack by attack, on the same published networks and images: docs/parity.md.

python benchmarks/parity.py [--images 1000] [--autoattack CHECKOUT] [--rows FILE] [--out docs/parity.md]

Fixed budgets: who breaks what, image by image. Both sides get the same budget (whole grey levels), steps and, where the
library allows it, the same start; images are judged in float, as the libraries judge, and once more as bytes inside the
budget. Minimum norms: medians of distances over images that were right. AutoAttack: beside the authors' own program,
whose checkout is given with --autoattack and which is no part of this repository; without it the rows are left out, and
the page says so. A row that stands in FILE is not measured again: an interrupted page goes on where it was.
"""

# ruff: noqa: E501

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _published import LEVELS, Setting, cpu_seconds, published
from torch import Tensor

from advgen.attacks.blackbox.square import Square
from advgen.attacks.ensemble.autoattack import AutoAttack
from advgen.attacks.image.apgd import APGD
from advgen.attacks.image.apgdt import APGDT
from advgen.attacks.image.fgsm import FGSM
from advgen.attacks.image.mim import MIM
from advgen.attacks.image.pgd import PGD
from advgen.attacks.minimum.cw import CW
from advgen.attacks.minimum.ddn import DDN
from advgen.attacks.minimum.deepfool import DeepFool
from advgen.attacks.minimum.ead import EAD
from advgen.attacks.minimum.fab import FAB
from advgen.attacks.peers.art import ART
from advgen.attacks.peers.foolbox import Foolbox
from advgen.attacks.peers.torchattacks import TorchAttacks
from advgen.core.budgets import L1, L2, Linf
from advgen.core.goals import Objective
from advgen.core.types import Attack
from advgen.experiments.stats import wilson
from attacks import on_bytes, original

FIXED_ON = ("fashion_small_standard", "fashion_small_certified_eps01", "cifar10_resnet4b_adv")
MINIMUM_ON = ("fashion_small_standard", "cifar10_resnet2b_adv")
AUTOATTACK_ON = ("fashion_small_certified_eps01", "cifar10_resnet2b_adv", "mnist_small_certified_eps01")
PLACE = "<!-- measured -->"


class Pair(NamedTuple):
    what: str
    ours: Attack
    theirs: Attack
    library: str
    objective: Objective = "cross_entropy"
    images: int = 1000  # at most


def fixed(budget: Linf) -> list[Pair]:
    radius = budget.radius
    step = 2.5 * radius / 40
    pgd, mim = PGD(budget, steps=40, random_start=False), MIM(budget, steps=10)
    return [
        Pair("FGSM", FGSM(budget), TorchAttacks(budget, "FGSM"), "torchattacks"),
        Pair("FGSM", FGSM(budget), ART(budget, "FGSM"), "ART"),
        Pair("FGSM", FGSM(budget), Foolbox(budget, "FGSM", "random_start=False"), "foolbox"),
        Pair("PGD-40", pgd, TorchAttacks(budget, "PGD", f"steps=40, alpha={step:.8f}, random_start=False"), "torchattacks"),
        Pair("PGD-40", pgd, ART(budget, "PGD", f"max_iter=40, eps_step={step:.8f}"), "ART"),
        Pair("PGD-40", pgd, Foolbox(budget, "PGD", f"steps=40, rel_stepsize={2.5 / 40}, random_start=False"), "foolbox"),
        Pair("MIM-10", mim, TorchAttacks(budget, "MIFGSM", f"steps=10, alpha={radius / 10:.8f}"), "torchattacks"),
        Pair("APGD-50, CE", APGD(budget, 50), TorchAttacks(budget, "APGD", "steps=50, loss=ce"), "torchattacks"),
        Pair("APGD-50, DLR", APGD(budget, 50, objective="dlr"), TorchAttacks(budget, "APGD", "steps=50, loss=dlr"), "torchattacks"),
        Pair("APGD-T, 20 x 9", APGDT(budget, 20), TorchAttacks(budget, "APGDT", "steps=20"), "torchattacks", images=500),
        Pair("Square, 500", Square(budget, 500), TorchAttacks(budget, "Square", "n_queries=500"), "torchattacks", images=500),
    ]  # fmt: skip


def minimum() -> list[tuple[Pair, str]]:
    fab = FAB(norm="Linf", steps=50, rounded=False)
    return [
        (Pair("DeepFool", DeepFool(rounded=False), TorchAttacks(None, "DeepFool", "steps=50, overshoot=0.02"), "torchattacks", images=500), "L2"),
        (Pair("DeepFool", DeepFool(rounded=False), Foolbox(None, "L2DeepFoolAttack", "steps=50, candidates=10, overshoot=0.02"), "foolbox", images=500), "L2"),
        (Pair("DDN-100", DDN(rounded=False), Foolbox(None, "DDNAttack", "steps=100"), "foolbox", images=500), "L2"),
        (Pair("CW, 5 x 200", CW(searches=5, steps=200, initial_c=0.1, rounded=False), Foolbox(None, "L2CarliniWagnerAttack", "binary_search_steps=5, steps=200, stepsize=0.01, initial_const=0.1"), "foolbox", images=128), "L2"),
        (Pair("CW, 1 x 200, c 1", CW(searches=1, steps=200, initial_c=1.0, abort_early=False, rounded=False), TorchAttacks(None, "CW", "steps=200, c=1, lr=0.01"), "torchattacks", images=128), "L2"),
        (Pair("EAD, 5 x 200", EAD(searches=5, steps=200, initial_c=0.1, rounded=False), Foolbox(None, "EADAttack", "binary_search_steps=5, steps=200, initial_stepsize=0.01, initial_const=0.1, decision_rule=L1, regularization=0.01"), "foolbox", images=128), "L1"),
        (Pair("FAB-50", fab, TorchAttacks(Linf(0.5), "FAB", "steps=50, multi_targeted=False, n_classes=10"), "torchattacks", images=500), "Linf"),
    ]  # fmt: skip


class Book:
    """Rows by name, kept on disk as they come."""

    def __init__(self, path: Path, *, closed: bool = False) -> None:
        self.path, self.closed = path, closed
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for row in map(json.loads, lines)}

    def row(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """What was measured, or is now; None where it was not and the book is closed."""
        if key not in self.rows:
            if self.closed:
                return None
            row = {"key": key, **measure()}
            self.rows[key] = row
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, file=sys.stderr, flush=True)
        return self.rows[key]


def paired(setting: Setting, pair: Pair, budget: Linf) -> dict[str, Any]:
    found: dict[str, Tensor] = {}

    def work(name: str, attack: Attack) -> Callable[[], None]:
        def run() -> None:
            found[name] = setting.run(attack, objective=pair.objective).images

        return run

    ours, theirs = cpu_seconds(work("ours", pair.ours)), cpu_seconds(work("theirs", pair.theirs))
    return compared_images(setting, budget, found["ours"], found["theirs"]) | {"ours s": ours, "theirs s": theirs}


def compared_images(setting: Setting, budget: Linf, ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    clean = setting.right(setting.images)
    mine, other = setting.right(ours), setting.right(theirs)
    alone = (clean & mine & ~other).nonzero()[:, 0].tolist()
    return {
        "n": len(clean),
        "ours": int((clean & mine).sum()),
        "theirs": int((clean & other).sum()),
        "ours on bytes": int((clean & setting.right(on_bytes(setting, budget, ours))).sum()),
        "they alone": [setting.ids[i] for i in alone],
        "we alone": int((clean & ~mine & other).sum()),
    }


def distances(setting: Setting, pair: Pair, norm: str) -> dict[str, Any]:
    found: dict[str, Tensor] = {}

    def work(name: str, attack: Attack) -> Callable[[], None]:
        def run() -> None:
            found[name] = setting.run(attack, objective="margin").images

        return run

    seconds = [cpu_seconds(work("ours", pair.ours)), cpu_seconds(work("theirs", pair.theirs))]
    ball = {"L2": L2, "L1": L1, "Linf": Linf}[norm](1.0)
    clean = setting.right(setting.images)
    fooled = {name: clean & ~setting.right(images) for name, images in found.items()}
    far = {
        name: torch.where(fooled[name], ball.distance(images, setting.images), torch.inf)[clean]
        for name, images in found.items()
    }
    return {
        "n": int(clean.sum()),
        "ours": float(far["ours"].median()),
        "theirs": float(far["theirs"].median()),
        "nearer": int((far["ours"] < 0.999 * far["theirs"]).sum()),
        "further": int((far["ours"] > 1.001 * far["theirs"]).sum()),
        "ours broke": int(fooled["ours"].sum()),
        "theirs broke": int(fooled["theirs"].sum()),
        "ours s": seconds[0],
        "theirs s": seconds[1],
    }


def beside_the_original(setting: Setting, budget: Linf, checkout: Path) -> dict[str, Any]:
    clean = setting.right(setting.images).nonzero()[:, 0]
    right = setting._replace(
        images=setting.images[clean], labels=setting.labels[clean], ids=tuple(setting.ids[i] for i in clean)
    )
    found: dict[str, Tensor] = {}

    def ours() -> None:
        found["ours"] = right.run(AutoAttack(budget, stop="success"), batch=250).images

    def theirs() -> None:
        found["theirs"] = original(right, budget, checkout, None)

    seconds = {"ours s": cpu_seconds(ours), "theirs s": cpu_seconds(theirs)}
    row = compared_images(right, budget, found["ours"], found["theirs"]) | seconds
    # Theirs leaves bytes aside: an image is broken here when it is broken in float.
    return row | {"n": len(setting.images)}


def rate(count: int, n: int) -> str:
    interval = wilson(count, n)
    return f"{count / n:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def fixed_table(rows: Iterable[tuple[str, int, Pair, dict[str, Any]]]) -> list[str]:
    lines = [
        "| network, Linf | attack | n | robust, ours | robust, theirs | library | they alone break | we alone break | CPU, ours / theirs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, levels, pair, row in rows:
        n, alone = row["n"], row["they alone"]
        lines.append(
            f"| {name}, {levels}/255 | {pair.what} | {n} | {rate(row['ours'], n)} | {rate(row['theirs'], n)} "
            f"| {pair.library} | {_listed(alone)} | {row['we alone']} | {row['ours s'] / row['theirs s']:.2f} |"
        )
    return lines


def minimum_table(rows: Iterable[tuple[str, Pair, str, dict[str, Any]]]) -> list[str]:
    lines = [
        "| network | attack | n | median, ours | median, theirs | library | ours nearer / further on | broken, ours and theirs | CPU, ours / theirs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, pair, norm, row in rows:
        lines.append(
            f"| {name} | {pair.what}, {norm} | {row['n']} | {row['ours']:.4g} | {row['theirs']:.4g} | {pair.library} "
            f"| {row['nearer']} / {row['further']} | {row['ours broke']}, {row['theirs broke']} "
            f"| {row['ours s'] / row['theirs s']:.2f} |"
        )
    return lines


def autoattack_table(rows: Iterable[tuple[str, int, dict[str, Any]]]) -> list[str]:
    lines = [
        "| network, Linf | n | robust, ours | robust, the original | it alone breaks | ours alone breaks | ours, on bytes | CPU, ours / original |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, levels, row in rows:
        n = row["n"]
        lines.append(
            f"| {name}, {levels}/255 | {n} | {rate(row['ours'], n)} | {rate(row['theirs'], n)} "
            f"| {_listed(row['they alone'])} | {row['we alone']} | {row['ours on bytes'] / n:.1%} "
            f"| {row['ours s'] / row['theirs s']:.2f} |"
        )
    return lines


def _listed(ids: list[str]) -> str:
    shown = ", ".join(i.rpartition("/")[2] for i in ids[:6])
    return "0" if not ids else f"{len(ids)} ({shown}{', …' if len(ids) > 6 else ''})"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="test images a row, at most")
    parser.add_argument("--autoattack", type=Path, help="checkout of the authors' AutoAttack")
    parser.add_argument("--rows", type=Path, default=Path("parity.jsonl"), help="what has been measured")
    parser.add_argument("--measured", action="store_true", help="write the page from what was measured, and no more")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "parity.md")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    book = Book(options.rows, closed=options.measured)

    fixed_rows, minimum_rows, ensemble_rows = [], [], []
    for name in FIXED_ON:
        budget = Linf(LEVELS[name] / 255)
        for pair in fixed(budget):
            n = min(options.images, pair.images)
            key = f"{name} {LEVELS[name]} {pair.what} {pair.library} {n}"
            row = book.row(
                key, lambda name=name, n=n, pair=pair, budget=budget: paired(published(name, n), pair, budget)
            )
            if row is not None:
                fixed_rows.append((name, LEVELS[name], pair, row))
    for name in MINIMUM_ON:
        for pair, norm in minimum():
            n = min(options.images, pair.images)
            key = f"{name} {pair.what} {norm} {pair.library} {n}"
            row = book.row(key, lambda name=name, n=n, pair=pair, norm=norm: distances(published(name, n), pair, norm))
            if row is not None:
                minimum_rows.append((name, pair, norm, row))
    if options.autoattack is not None or options.measured:
        for name in AUTOATTACK_ON:
            budget, n = Linf(LEVELS[name] / 255), options.images
            key = f"{name} {LEVELS[name]} AutoAttack {n}"
            row = book.row(
                key,
                lambda name=name, n=n, budget=budget: beside_the_original(
                    published(name, n), budget, options.autoattack
                ),
            )
            if row is not None:
                ensemble_rows.append((name, LEVELS[name], row))

    without = ["Not measured this time: the authors' program was not given (`--autoattack`)."]
    sections = [
        "## Fixed budgets",
        *fixed_table(fixed_rows),
        "## The smallest change",
        *minimum_table(minimum_rows),
        "## AutoAttack, standard, beside the authors' program",
        *(autoattack_table(ensemble_rows) if ensemble_rows else without),
    ]
    text = "\n".join(["", *(f"\n{line}\n" if line.startswith("##") else line for line in sections), ""])
    head = options.out.read_text().partition(PLACE)[0] if options.out.exists() else "# Parity\n\n"
    options.out.write_text(head + PLACE + text)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
