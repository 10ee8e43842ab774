"""What editing costs: an edit against one synthesis, relevance of channels, latent optimisation against a plain loop.

    python benchmarks/editing.py [--clip REF] [--weights REF] [--parts edit relevance optimisation] [--pairs 15]

Ratios are of CPU time with one thread, interleaved, with the 90% interval of their median. One channel at a time is
timed on some channels and multiplied; its images are rendered in batches, as the published program does. The plain loop
encodes the text in every step, keeps the graph of all weights, and takes its loss from both.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from math import comb
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.meter import Meter
from advgen.editing.global_directions import global_direction
from advgen.editing.latent import LatentOptimisation
from advgen.editing.mapper import LatentMapper
from advgen.editing.prompts import ensembled, text_direction
from advgen.editing.relevance import RelevanceOf, differences
from advgen.editing.shifts import edited
from advgen.editing.stylespace import layout, sampled_w, statistics
from advgen.embeddings.encoders.clip import CLIP
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.descent import Trace
from advgen.inversion.likeness import ClampThrough
from advgen.inversion.search import ramp

TARGET, NEUTRAL = "a person with glasses", "a person"
EDIT_GOAL, RELEVANCE_SECONDS, RELEVANCE_GOAL, OPTIMISATION_GOAL = 1.3, 180, 10, 1.3
CHANNELS_TIMED = 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="stylegan2_avatars_64")
    parser.add_argument("--clip", default="clip_avatars_64")
    parser.add_argument("--parts", nargs="+", choices=("edit", "relevance", "optimisation"))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--images", type=int, default=100, help="of the relevance step")
    parser.add_argument("--steps", type=int, default=20, help="of an optimisation that is timed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator: Any = load_stylegan2(options.weights).generator.eval()
    clip = CLIP(options.clip)
    for part in options.parts or ("edit", "relevance", "optimisation"):
        {"edit": edit, "relevance": relevance, "optimisation": optimisation}[part](generator, clip, options)
        print(f"  peak memory of the process so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    return 0


def edit(generator: Any, clip: CLIP, options: argparse.Namespace) -> None:
    """From w to the edited image, against from w to the image."""
    relevant = RelevanceOf(4).of(generator, clip)
    shift = global_direction(relevant, text_direction(clip, TARGET, NEUTRAL), beta=0.0).shift.times(3.0)
    mapper = LatentMapper(generator.num_ws, generator.w_dim).eval().requires_grad_(False)
    for batch in (1, 8):
        w = sampled_w(generator, batch)
        with torch.no_grad():
            works: dict[str, Callable[[], object]] = {
                "synthesis": lambda w=w: generator.synthesis(w),
                "global direction": lambda w=w: edited(generator, w, shift),
                "mapper": lambda w=w: edited(generator, w, mapper.shift(w)),
            }
            seconds = race(works, options.pairs)
        for name in ("global direction", "mapper"):
            middle, low, high = ratio(seconds[name], seconds["synthesis"])
            verdict = "met" if low <= EDIT_GOAL else "missed"
            print(
                f"edit, batch {batch}: {name} {1e3 * median(seconds[name]) / batch:.1f} ms/image, {middle:.2f} of a "
                f"synthesis ({low:.2f} to {high:.2f}), goal at most {EDIT_GOAL}: {verdict}"
            )


def relevance(generator: Any, clip: CLIP, options: argparse.Namespace) -> None:
    """All channels by derivatives, against one channel at a time; and whether both say the same."""
    where = layout(generator)
    begun, cpu = time.perf_counter(), time.process_time()
    quick = RelevanceOf(options.images).of(generator, clip)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    std = statistics(generator, where).std
    w = sampled_w(generator, options.images, seed=1)
    begun_one = time.process_time()
    places = torch.linspace(0, where.size - 1, CHANNELS_TIMED).round().long()
    slow = one_at_a_time(generator, clip, w, std, places)
    one = (time.process_time() - begun_one) / CHANNELS_TIMED * where.size
    alike = ", ".join(f"{cosine:.2f}" for cosine in (quick.unit[places] * slow).sum(1).tolist())
    print(
        f"relevance of {where.size} channels on {options.images} images: {wall:.0f} s, {cpu:.0f} s of CPU (goal under "
        f"{RELEVANCE_SECONDS} s); one channel at a time {one:.0f} s of CPU, {one / cpu:.1f} times (goal at least "
        f"{RELEVANCE_GOAL}); cosines of {CHANNELS_TIMED} channels' directions by both: {alike}"
    )
    batched = time.process_time()
    differences(generator, clip, where, w[:1], std, rows=32)
    batched = (time.process_time() - batched) * options.images
    print(f"  differences of 32 channels at a time: {batched:.0f} s of CPU, {one / batched:.1f} times")


@torch.no_grad()
def one_at_a_time(generator: Any, clip: CLIP, w: Tensor, std: Tensor, places: Tensor) -> Tensor:
    """(P, D) the published quantity of some channels: a channel, then batches of images, up and down."""
    where = layout(generator)
    rows = []
    for place in places.tolist():
        changes = []
        for some in w.split(16):
            styles = generator.styles(some)
            s = where.packed(styles)
            seen = []
            for way in (5.0, -5.0):
                moved = s.clone()
                moved[:, place] += way * std[place]
                made = generator.synthesis_from_styles(where.unpacked(moved, styles)).clamp(0, 1)
                seen.append(clip.encode_images(made))
            changes.append(functional.normalize(seen[0] - seen[1], dim=1))
        rows.append(functional.normalize(torch.cat(changes).mean(0), dim=0))
    return torch.stack(rows)


def optimisation(generator: Any, clip: CLIP, options: argparse.Namespace) -> None:
    """Steps a second, and the loss that both come to."""
    w = sampled_w(generator, 1, seed=3)
    text = ensembled(clip, TARGET, ("{}",))
    losses: dict[str, float] = {}

    def ours() -> None:
        trace = Trace()
        LatentOptimisation(generator, clip, steps=options.steps).shift(w, text, meter=Meter(), trace=trace)
        losses["ours"] = float(trace.loss[-1][0])

    def plain() -> None:
        losses["plain"] = plain_loop(generator, clip, w, options.steps)

    seconds = race({"ours": ours, "plain": plain}, max(3, options.pairs // 3))
    middle, low, high = ratio(seconds["plain"], seconds["ours"])
    print(
        f"latent optimisation: {options.steps / median(seconds['ours']):.1f} steps/s of CPU, {middle:.2f} times the "
        f"plain loop's ({low:.2f} to {high:.2f}), goal {OPTIMISATION_GOAL}: "
        f"{'met' if high >= OPTIMISATION_GOAL else 'missed'}; losses {losses['ours']:.5f} and {losses['plain']:.5f}"
    )


def plain_loop(generator: Any, clip: CLIP, w: Tensor, steps: int) -> float:
    """As one writes it down: text and source encoded in every step, gradients to every weight."""
    network, tokens = clip._towers.network, clip._towers.tokens
    learning = [*generator.parameters(), *network.parameters()]
    before = [p.requires_grad for p in learning]
    for p in learning:
        p.requires_grad_(True)
    latents = w.clone().requires_grad_()
    optimiser = torch.optim.Adam([latents], lr=0.1)
    loss = torch.zeros(())
    for step in range(steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * ramp(step / steps, up=0.05, down=0.25)
        said = functional.normalize(network.encode_text(tokens.numbers([TARGET])), dim=-1)[0]
        seen = clip.encode_images(ClampThrough.apply(generator.synthesis(latents)))
        loss = (1 - seen @ said).sum() + 0.008 * (latents - w).square().sum()
        if step < steps:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for p, own in zip(learning, before, strict=True):
        p.grad = None
        p.requires_grad_(own)
    return float(loss.detach())


def race(works: dict[str, Callable[[], object]], pairs: int) -> dict[str, list[float]]:
    """CPU seconds a run, in alternating order; each has run once before."""
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for pair in range(pairs):
        for name in list(works) if pair % 2 else reversed(works):
            begun = time.process_time()
            works[name]()
            seconds[name].append(time.process_time() - begun)
    return seconds


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
