"""What our attacks cost beside a bare loop, beside other libraries and beside the authors' programs.

python benchmarks/attacks.py networks [NAME...]      PGD-40 through the engine, as it is and on a prepared copy
python benchmarks/attacks.py libraries [NAME...]     the same attack by each library in its own way, and ours that leaves
python benchmarks/attacks.py originals NAME... --autoattack CHECKOUT    APGD-100 and AutoAttack beside the authors'
python benchmarks/attacks.py cw [NAME...]            Carlini-Wagner in L2, 9 x 1000, beside foolbox's
python benchmarks/attacks.py memory [NAME...]        peak memory of a PGD, ours and theirs

Times are CPU seconds of one thread, interleaved in pairs; a ratio stands with its 90% interval from order statistics.
1.00 is the least that such an attack can do on the raw network: forward, backward to the input, sign step, clamp to
ball and box. Every attack begins at the images with cross-entropy and steps of 2.5 radius / 40, `stop="never"` but
where it says so; the engine also keeps a best-so-far image, loss and verdict of every sample. Robust accuracy is that
of the bytes inside the budget, by the raw network. NAME is a published network (`advgen list weights`); its file and
images are found in ADVGEN_DATA.
"""  # noqa: E501

import argparse
import multiprocessing
import resource
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _published import LEVELS, NORMALISED_IN_BATCHES, Setting, compared, published
from torch import Tensor

from advgen.attacks.ensemble.autoattack import AutoAttack
from advgen.attacks.image.apgd import APGD
from advgen.attacks.image.pgd import PGD
from advgen.attacks.minimum.cw import CW
from advgen.attacks.peers.art import ART
from advgen.attacks.peers.foolbox import Foolbox
from advgen.attacks.peers.torchattacks import TorchAttacks
from advgen.core.budgets import L2, Linf
from advgen.core.device import set_threads
from advgen.core.types import Attack

STEPS, BATCH = 40, 64
ENGINE_GOAL = 1.05
GOALS = {True: (0.45, 0.28), False: (0.85, 0.55)}  # with BatchNorm and without: float32, bfloat16


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("networks", "libraries", "originals", "cw", "memory"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="published networks; all of them, or a few")
    parser.add_argument("--pairs", type=int, default=15, help="paired runs a row")
    parser.add_argument("--images", type=int, help="images; default 64 (cw: 16, originals: 250)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--levels", type=int, help="radius in grey levels, instead of the network's own")
    parser.add_argument("--autoattack", type=Path, help="checkout of the authors' AutoAttack")
    options = parser.parse_args(argv)
    set_threads(options.threads)
    torch.set_num_threads(options.threads)
    few = ("mnist_lenet_advtrained_eps03", "cifar10_resnet20_standard", "cifar10_resnet4b_adv")
    known = tuple(LEVELS)
    for name in options.names:
        if name not in known:
            parser.error(f"unknown network {name!r}; known are {', '.join(known)}")
    for name in options.names or (known if options.what == "networks" else few):
        levels = options.levels or LEVELS[name]
        budget = Linf(levels / 255)
        count = options.images or {"cw": 16, "originals": 250}.get(options.what, BATCH)
        setting = published(name, count)
        print(f"\n{name}, {count} images, Linf {levels}/255, {options.threads} thread(s)", flush=True)
        if options.what == "networks":
            networks(setting, budget, options.pairs)
        elif options.what == "libraries":
            libraries(setting, budget, options.pairs)
        elif options.what == "originals":
            if options.autoattack is None:
                parser.error("originals needs --autoattack CHECKOUT, a folder with the package autoattack")
            originals(setting, budget, options.autoattack, options.pairs)
        elif options.what == "cw":
            carlini_wagner(setting, options.pairs)
        else:
            memory(setting, budget)
    return 0


def networks(setting: Setting, budget: Linf, pairs: int) -> None:
    """The engine as it is and on prepared copies, beside a bare loop, for the same stopping rule."""
    header()
    goals = GOALS[setting.name in NORMALISED_IN_BATCHES]
    for label, attack, goal in (
        ("as it is", pgd(budget), ENGINE_GOAL),
        ("prepared, float32", replace(pgd(budget), fast="float32"), goals[0]),
        ("prepared, bfloat16", replace(pgd(budget), fast="bfloat16"), goals[1]),
        ("compiled, float32", replace(pgd(budget), fast="compiled"), goals[0]),
        ("compiled, bfloat16", replace(pgd(budget), fast="compiled-bfloat16"), goals[1]),
    ):
        row(label, setting, budget, attack, pairs, goal)
    print(f"{'bare loop':<24} {'':>9} {'1.00':<22} {robust(setting, budget, bare(setting, budget)):>7.1%}")


def libraries(setting: Setting, budget: Linf, pairs: int) -> None:
    """Ours that leaves at success, and the libraries as shipped, all beside the bare loop."""
    header()
    leaves = replace(pgd(budget), stop="success", fast="bfloat16")
    stands = robust(setting, budget, bare(setting, budget))
    row('stop="success", bfloat16', setting, budget, leaves, pairs, 0.15 if stands > 0.25 else 0.05)
    row('stop="success"', setting, budget, replace(leaves, fast="no"), pairs)
    step = f"{2.5 * budget.radius / STEPS:.8f}"
    relative = 2.5 / STEPS
    # Differences between libraries are large: a third of the pairs shows them.
    for attack in (
        TorchAttacks(budget, "PGD", f"steps={STEPS}, alpha={step}, random_start=False"),
        ART(budget, "PGD", f"max_iter={STEPS}, eps_step={step}"),
        Foolbox(budget, "PGD", f"steps={STEPS}, rel_stepsize={relative}, random_start=False"),
    ):
        row(type(attack).__name__, setting, budget, attack, max(3, pairs // 3))


def originals(setting: Setting, budget: Linf, checkout: Path, pairs: int) -> None:
    """APGD-100 on cross-entropy, and AutoAttack standard, beside the authors' own program."""
    stands = robust(setting, budget, bare(setting, budget)) > 0.25
    right = setting.right(setting.images)
    at = right.nonzero()[:, 0]
    correct = setting._replace(
        images=setting.images[at], labels=setting.labels[at], ids=tuple(setting.ids[i] for i in at)
    )
    print(f"{'':<24} {'ours, s':>9} {'of theirs':<22} {'robust':>7} {'theirs':>7} {'they alone break':>17}")
    for label, ours, parts, goal in (
        ("APGD-100", APGD(budget, objective="cross_entropy", stop="success"), ["apgd-ce"], 0.30 if stands else 0.05),
        ("AutoAttack standard", AutoAttack(budget, stop="success"), None, 0.40 if stands else 0.10),
    ):
        for fast in ("no", "float32", "bfloat16"):
            attack = replace(ours, fast=fast)
            found: dict[str, Tensor] = {}

            def mine(attack: Attack = attack, found: dict[str, Tensor] = found) -> None:
                found["ours"] = correct.run(attack, batch=250).images

            def theirs(parts: list[str] | None = parts, found: dict[str, Tensor] = found) -> None:
                found["theirs"] = original(correct, budget, checkout, parts)

            ratio = compared(mine, theirs, pairs)
            ours_stand = correct.right(on_bytes(correct, budget, found["ours"]))
            theirs_stand = correct.right(found["theirs"])
            alone = int((ours_stand & ~theirs_stand).sum())
            stand, they = (int(s.sum()) / len(setting.images) for s in (ours_stand, theirs_stand))
            print(
                f"{label + ', ' + fast:<24} {ratio.seconds:>9.1f} {ratio.shown():<22} {stand:>7.1%} {they:>7.1%} "
                f"{alone:>17}   {verdict(ratio.low, goal)}",
                flush=True,
            )


def original(setting: Setting, budget: Linf, checkout: Path, parts: list[str] | None) -> Tensor:
    """The authors' AutoAttack in its standard version, or some of its parts."""
    sys.path.insert(0, str(checkout))
    try:
        from autoattack import AutoAttack as Original
    finally:
        sys.path.remove(str(checkout))
    arguments: dict[str, Any] = {"norm": "Linf", "eps": budget.radius, "seed": 0, "verbose": False, "device": "cpu"}
    attack = Original(setting.network, version="standard" if parts is None else "custom", **arguments)
    if parts is not None:
        attack.attacks_to_run = parts
    found: Tensor = attack.run_standard_evaluation(setting.images, setting.labels, bs=250)
    return found


def carlini_wagner(setting: Setting, pairs: int) -> None:
    """Median distance and cost; foolbox searches with the same 9 rounds of 1,000 steps and the same first c."""
    same = "binary_search_steps=9, steps=1000, stepsize=0.01, confidence=0, initial_const=0.001, abort_early=True"
    found: dict[str, Tensor] = {}

    def theirs() -> None:
        found["foolbox"] = setting.run(Foolbox(None, "L2CarliniWagnerAttack", same)).images

    right = setting.right(setting.images)
    print(f"{'CW L2, 9 x 1000':<24} {'ours, s':>9} {'of foolbox':<22} {'median':>8} {'theirs':>8}")
    for fast in ("no", "float32", "bfloat16"):
        attack = CW(rounded=False, fast=fast)

        def ours(attack: CW = attack) -> None:
            found["ours"] = setting.run(attack).images

        ratio = compared(ours, theirs, max(1, pairs // 5))
        far = {k: float(L2(1.0).distance(x, setting.images)[right].median()) for k, x in found.items()}
        broken = {k: int((right & ~setting.right(x)).sum()) for k, x in found.items()}
        print(
            f"{fast:<24} {ratio.seconds:>9.1f} {ratio.shown():<22} {far['ours']:>8.3f} {far['foolbox']:>8.3f}   broken "
            f"{broken['ours']} and {broken['foolbox']} of {int(right.sum())}   {verdict(ratio.low, 0.40)}",
            flush=True,
        )


def memory(setting: Setting, budget: Linf) -> None:
    """Peak resident memory of a process of its own, above what it holds before the attack."""
    step = 2.5 * budget.radius / STEPS
    attacks: dict[str, Attack] = {
        "ours": pgd(budget),
        "ours, bfloat16": replace(pgd(budget), fast="bfloat16"),
        "torchattacks": TorchAttacks(budget, "PGD", f"steps={STEPS}, alpha={step:.8f}, random_start=False"),
        "ART": ART(budget, "PGD", f"max_iter={STEPS}, eps_step={step:.8f}"),
        "foolbox": Foolbox(budget, "PGD", f"steps={STEPS}, rel_stepsize={2.5 / STEPS}, random_start=False"),
    }
    context = multiprocessing.get_context("fork")
    for label, attack in attacks.items():
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_peak, args=(setting, attack, theirs))
        child.start()
        print(f"{label:<24} {ours.recv() / 1e6:>9.1f} MB", flush=True)
        child.join()


def _peak(setting: Setting, attack: Attack, told: Any) -> None:
    setting.first(2).run(replace(attack, steps=1) if isinstance(attack, PGD) else attack)  # libraries are imported
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    setting.run(attack)
    told.send(_status("VmHWM") - before if before else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def bare(setting: Setting, budget: Linf) -> Tensor:
    """The least that PGD can do."""
    originals, radius = setting.images, float(budget.radius)
    low, high, step = originals - radius, originals + radius, 2.5 * radius / STEPS
    x = originals.clone()
    for _ in range(STEPS):
        x.requires_grad_()
        loss = F.cross_entropy(setting.network(x), setting.labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x = torch.minimum(torch.maximum(x + step * slope.sign(), low), high).clamp(0, 1)
    return x


def pgd(budget: Linf) -> PGD:
    return PGD(budget, steps=STEPS, random_start=False)


def header() -> None:
    print(f"{'':<24} {'CPU s':>9} {'of the bare loop':<22} {'robust':>7}")


def row(label: str, setting: Setting, budget: Linf, attack: Attack, pairs: int, goal: float | None = None) -> None:
    def work() -> Tensor:
        return setting.run(attack, batch=len(setting.images), objective="cross_entropy").images

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        found, _ = work(), bare(setting, budget)
        ratio = compared(work, lambda: bare(setting, budget), pairs)
    ending = "" if goal is None else f"   {verdict(ratio.low, goal)}"
    print(
        f"{label:<24} {ratio.seconds:>9.2f} {ratio.shown():<22} {robust(setting, budget, found):>7.1%}{ending}",
        flush=True,
    )


def verdict(low: float, goal: float) -> str:
    """A goal is met when the interval reaches it."""
    return f"goal {goal:.2f}: {'met' if low <= goal else 'missed'}"


def robust(setting: Setting, budget: Linf, images: Tensor) -> float:
    return float(setting.right(on_bytes(setting, budget, images)).float().mean())


def on_bytes(setting: Setting, budget: Linf, images: Tensor) -> Tensor:
    return budget.to_uint8(images, (setting.images * 255).round().to(torch.uint8)).float() / 255


if __name__ == "__main__":
    sys.exit(main())
