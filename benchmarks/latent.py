"""What a latent attack costs: `latent/pgd` against the loop as one writes it down, in steps a second and in memory.

    python benchmarks/latent.py [--target matcher:NAME] [--weights REF] [--images 8] [--steps 20] [--pairs 5]

Avatars are to be taken for the person nearest to them, from the encoder's inversions, once under an LPIPS bound and
once in a latent ball with random restarts. The plain loop takes the same steps from the same starts, but keeps the
graph of every weight (generator, matcher, LPIPS), sees the originals' features anew in each step, and begins every
restart with all images, won or not. A step is one image's. Ratios are of steps a CPU second with one thread,
interleaved, with the 90% interval of their median; memory is what a process that does nothing else grows by.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advgen.attacks.latent.pgd import PGD
from advgen.core.budgets import Latent, Perceptual
from advgen.core.device import choose
from advgen.core.goals import LogitGoal, make_goal
from advgen.core.latent_spaces import spread
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS
from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec, Part
from advgen.core.types import Latents, Slice
from advgen.experiments.assemble import Assembly
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.encoder import belonging
from advgen.zoo.load import zoo_load

GOAL = 1.3
SEARCHED = 0.97  # share of an LPIPS bound that the penalty begins at, as the engine's
PENALTY, ADAM = 10.0, 0.03


class Setting(NamedTuple):
    """What both loops are given."""

    generator: Any
    target: Any
    goal: LogitGoal
    sample: Slice
    latents: Latents
    metric: LPIPS
    steps: int


@dataclass(frozen=True)
class Known:
    """An inverter whose answer is there already, so that it is not timed."""

    latents: Latents

    def invert(self, images: Tensor, *, rng: SampleRng, meter: Meter) -> Latents:
        return self.latents


class Done(NamedTuple):
    """What a run came to."""

    steps: int  # images times steps that were taken
    fooled: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="matcher:avatars_matcher_64")
    parser.add_argument("--weights", default="stylegan2_avatars_64")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=2, help="in the latent ball")
    parser.add_argument("--lpips", type=float, default=0.1)
    parser.add_argument("--latent", type=float, default=0.3)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting = prepared(options)
    settings: dict[str, dict[str, Callable[[], Done]]] = {
        name: {
            "ours": lambda b=budget, r=restarts: ours(setting, b, r),
            "plain": lambda b=budget, r=restarts: plain(setting, b, r),
        }
        for name, budget, restarts in (
            (f"LPIPS {options.lpips:g}", Perceptual("Lpips", options.lpips, setting.metric), 1),
            (f"latent ball {options.latent:g}, {options.restarts} restarts", Latent(options.latent), options.restarts),
        )
    }
    # Before anything has run here: a forked process would find memory that is there already.
    grown = {(name, w): in_a_process_of_its_own(work) for name, works in settings.items() for w, work in works.items()}
    for name, works in settings.items():
        seconds, done = race(works, options.pairs)
        rates = {w: [done[w].steps / s for s in taken] for w, taken in seconds.items()}
        middle, low, high = ratio(rates["ours"], rates["plain"])
        print(
            f"{name}: {median(rates['ours']):.1f} steps/s of CPU, {middle:.2f} times the plain loop's "
            f"({low:.2f} to {high:.2f}, {options.pairs} pairs), goal {GOAL}: {'met' if high >= GOAL else 'missed'}; "
            f"fooled {done['ours'].fooled} and {done['plain'].fooled} of {options.images}; "
            f"memory grows by {grown[name, 'ours']:.0f} and {grown[name, 'plain']:.0f} MB"
        )
    return 0


def prepared(options: argparse.Namespace) -> Setting:
    spec = DataSpec("avatars", "test", options.images, 64)
    assembly = Assembly(choose("cpu"))
    sample = assembly.slice(spec)
    target, _ = assembly.target(Part(options.target), spec)
    generator = load_stylegan2(options.weights).generator.eval().requires_grad_(False)
    with torch.no_grad():
        nearest = target(sample.images).logits.scatter(1, sample.labels[:, None], -torch.inf).argmax(1)
        w = zoo_load(belonging(options.weights))[0](sample.images)
    goal = make_goal("impersonate", sample.labels, nearest, decision="sign", classes=len(target.classes))
    latents = Latents(w, None, torch.zeros(len(w)), None)
    return Setting(generator, target, goal, sample, latents, LPIPS("embedded"), options.steps)


def ours(setting: Setting, budget: Any, restarts: int) -> Done:
    attack = PGD(
        budget=budget, steps=setting.steps, restarts=restarts, random_start=restarts > 1,
        generator=setting.generator, inverter=Known(setting.latents),
    )  # fmt: skip
    rng, meter = SampleRng.for_samples(0, "attack", setting.sample.ids), Meter()
    found = attack.run(setting.target, setting.sample.images, setting.goal, rng=rng, meter=meter)
    return Done(meter.backwards, fooled(setting, found.images))


def plain(setting: Setting, budget: Any, restarts: int) -> Done:
    """The same search as one writes it down."""
    networks = [setting.generator, setting.target.network, setting.metric]
    learning = [p for network in networks for p in network.parameters()]
    before = [p.requires_grad for p in learning]
    for p in learning:
        p.requires_grad_(True)
    images, w = setting.sample.images, setting.latents.w
    rng = SampleRng.for_samples(0, "attack", setting.sample.ids)
    unit, ball = spread(setting.generator), isinstance(budget, Latent)
    best, lowest = images.clone(), torch.full((len(images),), torch.inf)
    rank = torch.zeros(len(images), dtype=torch.int64)
    taken = 0
    for _ in range(restarts):
        origin = torch.zeros_like(w)
        offset = (budget.random(origin, rng) if ball and restarts > 1 else origin).clone().requires_grad_()
        optimiser = torch.optim.Adam([offset], lr=ADAM)
        for step in range(setting.steps + 1):
            shown = setting.generator.synthesis(w + unit * offset).clamp(0, 1)
            outputs = setting.target.network(shown)
            loss = -outputs.gather(1, setting.goal.wanted[:, None])[:, 0]
            inside = torch.ones(len(images), dtype=torch.bool)
            whole = loss
            if not ball:
                distance = setting.metric(shown, images)
                inside = distance <= budget.radius
                whole = loss + PENALTY * (distance / budget.radius - SEARCHED).clamp(min=0)
            ranked = 2 * inside.long() + (loss < 0).long()
            better = (ranked > rank) | ((ranked == rank) & (loss < lowest))
            best[better], lowest[better], rank[better] = shown.detach()[better], loss.detach()[better], ranked[better]
            if step == setting.steps:
                break
            optimiser.zero_grad()
            for p in learning:
                p.grad = None
            whole.sum().backward()
            taken += len(images)
            if ball:
                with torch.no_grad():
                    length = offset.grad.flatten(1).norm(dim=1) / w.shape[1] ** 0.5
                    size = 2.5 * budget.radius / setting.steps
                    offset -= size * offset.grad / length[:, None, None].clamp(min=1e-12)
                    offset.copy_(budget.project(offset, origin))
            else:
                optimiser.step()
    for p, own in zip(learning, before, strict=True):
        p.grad = None
        p.requires_grad_(own)
    return Done(taken, fooled(setting, torch.where((rank >= 2)[:, None, None, None], best, images)))


@torch.no_grad()
def fooled(setting: Setting, images: Tensor) -> int:
    return int(setting.goal.reached(setting.target((images * 255).round() / 255)).sum())


def race(works: dict[str, Callable[[], Done]], pairs: int) -> tuple[dict[str, list[float]], dict[str, Done]]:
    """CPU seconds a run, in alternating order; each has run once before."""
    done = {name: work() for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for pair in range(pairs):
        for name in list(works) if pair % 2 else reversed(works):
            begun = time.process_time()
            works[name]()
            seconds[name].append(time.process_time() - begun)
    return seconds, done


def in_a_process_of_its_own(work: Callable[[], Done]) -> float:
    """Megabytes by which the greatest resident memory of a forked process grows while it works."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def watched() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        send.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    process = context.Process(target=watched)
    process.start()
    grown = float(receive.recv())
    process.join()
    return grown


def ratio(one: list[float], other: list[float]) -> tuple[float, float, float]:
    """The median of the pairs' ratios, with the narrowest order statistics that hold it at 90%."""
    ratios = sorted(a / b for a, b in zip(one, other, strict=True))
    n = len(ratios)
    for k in range(n // 2, 0, -1):
        if sum(comb(n, i) for i in range(k, n - k + 1)) / 2**n >= 0.9:
            return median(ratios), ratios[k - 1], ratios[n - k]
    return median(ratios), ratios[0], ratios[-1]


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
