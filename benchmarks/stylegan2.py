"""StyleGAN2's synthesis and training step beside the official program's networks and rosinality's, on the same weights.

python benchmarks/stylegan2.py [synthesis] [training] [--official CHECKOUT] [--rosinality CHECKOUT] [--json]

CHECKOUT is a folder with NVlabs/stylegan2-ada-pytorch, or with rosinality/stylegan2-pytorch; without one its columns
are left out. Their custom kernels are CUDA only: on a CPU both run their reference paths, the official one with the
grouped (fused) convolutions that it takes by default in evaluation, rosinality's likewise.

A ratio is the median of paired runs, all contestants one after the other in alternating order, of process CPU time on
one thread, with its 90% interval from order statistics; on a GPU wall time of work that was waited for. FLOPs are those
that our networks do, which multiply no inserted zeros; the share is of this machine's own rate in a product of two
2048 x 2048 matrices. Training phases are the official loop's (non-saturating loss, path lengths on half a batch, R1),
with each network's gradients switched as there; a step is G + D + paths / 4 + R1 / 16.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from advgen.generators.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator, widths
from advgen.generators.stylegan2.build import generator_of
from advgen.generators.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from advgen.generators.stylegan2.layouts import rosinality_generator

PAIRS, MAPPING = 15, 8
SYNTHESIS_GOALS = {8: {"official": 2.0, "rosinality": 1.2}, 1: {"official": 1.0, "rosinality": 1.0}}
TRAINING_GOAL = 1.5
PHASES = ("generator", "path lengths", "discriminator", "R1")
Work = Callable[[], object]


class Networks(NamedTuple):
    """A contestant: z to w, w to images in [-1, 1], images in [-1, 1] to logits, and what is trained."""

    mapping: Callable[[Tensor], Tensor]
    synthesis: Callable[[Tensor], Tensor]
    judge: Callable[[Tensor], Tensor]
    generator: nn.Module
    discriminator: nn.Module


class Row(NamedTuple):
    """One contestant on one task."""

    task: str
    name: str
    seconds: float  # median, of a whole batch
    ratio: float  # of its time to ours, median over pairs: above 1, ours is faster
    low: float
    high: float
    gflops: float | None = None  # a second
    difference: float | None = None  # largest, of its images in [0, 1] from ours in float32


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="synthesis, training; both without")
    parser.add_argument("--official", type=Path, help="checkout of NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--rosinality", type=Path, help="checkout of rosinality/stylegan2-pytorch")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="pixels, of synthesis")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 1], help="images at once, of synthesis")
    parser.add_argument("--channel-base", type=int, default=16384, help="of synthesis; at most 512 maps")
    parser.add_argument(
        "--training",
        type=int,
        nargs=4,
        default=[64, 16, 4096, 256],
        metavar="N",
        help="pixels, batch, channel base, most maps",
    )
    parser.add_argument("--bfloat16", action="store_true", help="ours under autocast, too")
    parser.add_argument("--compile", action="store_true", help="ours through torch.compile, too (needs a compiler)")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args(argv)
    unknown = set(options.parts) - {"synthesis", "training"}
    if unknown:
        parser.error(f"no part {sorted(unknown)[0]!r}; there are synthesis and training")
    torch.set_num_threads(1)
    for name in ("official", "rosinality"):
        if getattr(options, name) is None:
            print(f"no --{name} CHECKOUT: its columns are left out.", file=sys.stderr)
    rates = {str(d).removeprefix("torch."): matrix_rate(options.device, d) for d in (torch.float32, torch.bfloat16)}
    if not options.json:
        print("matrix rate: " + ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in rates.items()), flush=True)
    rows: list[Row] = []
    if not options.parts or "synthesis" in options.parts:
        for size in options.sizes:
            for batch in options.batches:
                task = f"synthesis {size}x{size}, {options.channel_base}/512, batch {batch}"
                rows += report(synthesis(task, size, batch, options), SYNTHESIS_GOALS.get(batch, {}), batch, options)
    if not options.parts or "training" in options.parts:
        size, batch, base, most = options.training
        task = f"training {size}x{size}, {base}/{most}, batch {batch}"
        rows += report(training(task, size, batch, base, most, options), {"official": TRAINING_GOAL}, batch, options)
    if options.json:
        print(json.dumps({"GFLOP/s": rates, "pairs": options.pairs, "rows": [r._asdict() for r in rows]}, indent=2))
    return 0


def synthesis(task: str, size: int, batch: int, options: argparse.Namespace) -> list[Row]:
    """w to images in evaluation, with stored noise."""
    device, most = options.device, 512
    net, theirs = _pair(size, options.channel_base, most, options)
    net.eval().requires_grad_(False)
    w = net.mapping(torch.randn(batch, 512, device=device))
    contestants: dict[str, Work] = {"ours": lambda: net.synthesis(w)}
    if options.bfloat16:
        contestants["ours, bfloat16"] = partial(_cast, device, contestants["ours"])
    if options.compile:
        quick = torch.compile(net.synthesis)
        contestants["ours, compiled"] = lambda: quick(w)
    if theirs is not None:
        theirs.eval().requires_grad_(False)
        contestants["official"] = lambda: theirs.synthesis(w, noise_mode="const") / 2 + 0.5
        contestants["official, ungrouped"] = lambda: (
            theirs.synthesis(w, noise_mode="const", fused_modconv=False) / 2 + 0.5
        )
    if options.rosinality is not None:
        other = _rosinality(net, options.rosinality, options.channel_base).to(device)
        maps = [layer.noise_const[None, None] for layer in net.synthesis.convs()]
        contestants["rosinality"] = lambda: other([w], input_is_latent=True, noise=maps)[0] / 2 + 0.5
    with torch.no_grad():
        images = {name: work() for name, work in contestants.items()}
        flops = _flops(contestants["ours"])
        rows = [
            row._replace(
                gflops=flops / row.seconds / 1e9,
                difference=float((images[row.name].float() - images["ours"]).abs().max()),
            )
            for row in raced(task, contestants, options)
        ]
    return rows


def training(task: str, size: int, batch: int, base: int, most: int, options: argparse.Namespace) -> list[Row]:
    """Four phases: forward, backward, and second derivatives."""
    device, latent = options.device, 128
    contestants = {"ours": _own(size, base, most, latent, options)}
    if options.bfloat16:
        contestants["ours, bfloat16"] = contestants["ours"]
    if options.official is not None:
        contestants["official"] = _official(size, base, most, latent, options)
    rows: list[Row] = []
    times: dict[str, list[np.ndarray]] = {}
    for phase in PHASES:
        works = {}
        for name, nets in contestants.items():
            run = partial(one_phase, phase, nets, batch, latent, size, device)
            works[name] = partial(_cast, device, run) if "bfloat16" in name else run
            works[name]()
        flops = _flops(works["ours"])
        found = race(works, options)
        for name, seconds in found.items():
            times.setdefault(name, []).append(seconds)
        rows += [r._replace(gflops=flops / r.seconds / 1e9) for r in summed_up(f"{task}, {phase}", found)]
    steps = {name: each[0] + each[1] / 4 + each[2] + each[3] / 16 for name, each in times.items()}
    return rows + summed_up(f"{task}, a step", steps)


def one_phase(phase: str, nets: Networks, batch: int, latent: int, size: int, device: str) -> None:
    """Gradients of one phase of the official loop, in the network that it trains."""
    for_generator = phase in ("generator", "path lengths")
    nets.generator.requires_grad_(for_generator)
    nets.discriminator.requires_grad_(not for_generator)
    nets.generator.zero_grad(set_to_none=True)
    nets.discriminator.zero_grad(set_to_none=True)
    real = torch.rand(batch, 3, size, size, device=device) * 2 - 1
    z = torch.randn(batch // 2 if phase == "path lengths" else batch, latent, device=device)
    if phase == "generator":
        functional.softplus(-nets.judge(nets.synthesis(nets.mapping(z))).float()).mean().backward()
    elif phase == "path lengths":
        w = nets.mapping(z)
        images = nets.synthesis(w)
        (slope,) = torch.autograd.grad((images * torch.randn_like(images) / size).sum(), w, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        ((lengths - 0.1).square().mean() + 0 * images.sum()).backward()
    elif phase == "discriminator":
        with torch.no_grad():
            fake = nets.synthesis(nets.mapping(z))
        functional.softplus(nets.judge(fake).float()).mean().backward()
        functional.softplus(-nets.judge(real).float()).mean().backward()
    else:
        logits = nets.judge(real.requires_grad_())
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        (slope.square().sum((1, 2, 3)).mean() + 0 * logits.sum()).backward()


def raced(task: str, contestants: dict[str, Work], options: argparse.Namespace) -> list[Row]:
    return summed_up(task, race(contestants, options))


def race(contestants: dict[str, Work], options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Seconds a run, in alternating order; each has run once before."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for pair in range(options.pairs):
        for name in list(contestants) if pair % 2 else reversed(contestants):
            seconds[name].append(_seconds(contestants[name], options.device))
    return {name: np.array(found) for name, found in seconds.items()}


def summed_up(task: str, seconds: dict[str, np.ndarray]) -> list[Row]:
    rows = []
    for name, found in seconds.items():
        ratios = found / seconds["ours"]
        low, high = median_interval(ratios.tolist())
        rows.append(Row(task, name, float(np.median(found)), float(np.median(ratios)), low, high))
    return rows


def median_interval(values: list[float], level: float = 0.9) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least `level` (binomial)."""
    ordered, n = sorted(values), len(values)
    for k in range(n // 2, 0, -1):
        if sum(comb(n, i) for i in range(k, n - k + 1)) / 2**n >= level:
            return ordered[k - 1], ordered[n - k]
    return ordered[0], ordered[-1]


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """GFLOP/s of a product of two 2048 x 2048 matrices, the best of five."""
    one, other = torch.randn(2, 2048, 2048, device=device, dtype=dtype)
    return 2 * 2048**3 / min(_seconds(lambda: one @ other, device) for _ in range(5)) / 1e9


def report(rows: list[Row], goals: dict[str, float], batch: int, options: argparse.Namespace) -> list[Row]:
    if options.json:
        return rows
    for row in rows:
        if row.name == "ours":
            print(f"\n{row.task}")
        line = f"  {row.name:<20} {row.seconds / batch * 1e3:>8.1f} ms/image {batch / row.seconds:>8.1f} images/s"
        if row.gflops is not None:
            line += f" {row.gflops:>6.0f} GFLOP/s"
        if row.name != "ours":
            line += f"   {row.ratio:.2f} times our time, {row.low:.2f} to {row.high:.2f}"
        if row.difference:
            line += f"   images differ by {row.difference:.1e}"
        whole = "training" not in row.task or row.task.endswith("a step")
        if row.name in goals and whole:
            line += f"   goal {goals[row.name]}: {'met' if row.high >= goals[row.name] else 'missed'}"
        print(line, flush=True)
    return rows


def _pair(size: int, base: int, most: int, options: argparse.Namespace) -> tuple[StyleGAN2Generator, Any]:
    """Our generator and the official one (None without a checkout), with one set of weights, something in each."""
    torch.manual_seed(0)
    if options.official is None:
        net, theirs = StyleGAN2Generator(GeneratorConfig(size, widths(size, channel_base=base, channel_max=most))), None
    else:
        theirs = _official_modules(options.official).Generator(
            512, 0, 512, size, 3, mapping_kwargs={"num_layers": MAPPING}, synthesis_kwargs=_sizes(base, most)
        )
        net = None
    with torch.no_grad():
        for name, tensor in (net or theirs).named_parameters():
            if name.endswith(("bias", "noise_strength")):
                tensor.add_(torch.randn_like(tensor) * 0.1)
    net = net or generator_of(theirs.state_dict())[0]
    return net.to(options.device), None if theirs is None else theirs.to(options.device)


def _own(size: int, base: int, most: int, latent: int, options: argparse.Namespace) -> Networks:
    torch.manual_seed(0)
    maps = widths(size, channel_base=base, channel_max=most)
    generator = StyleGAN2Generator(GeneratorConfig(size, maps, z_dim=latent, w_dim=latent, mapping_layers=MAPPING))
    generator = generator.to(options.device)
    judge = StyleGAN2Discriminator(DiscriminatorConfig(size, maps)).to(options.device)
    shapes = [layer.noise_const.shape for layer in generator.synthesis.convs()]

    def images(w: Tensor) -> Tensor:
        noise = [torch.randn(len(w), 1, *shape, device=w.device) for shape in shapes]
        return generator.synthesis(w, noise=noise) * 2 - 1

    return Networks(generator.mapping, images, lambda x: judge((x + 1) / 2), generator, judge)


def _official(size: int, base: int, most: int, latent: int, options: argparse.Namespace) -> Networks:
    modules = _official_modules(options.official)
    torch.manual_seed(0)
    sizes, mapping = _sizes(base, most), {"num_layers": MAPPING}
    generator = modules.Generator(latent, 0, latent, size, 3, mapping_kwargs=mapping, synthesis_kwargs=sizes)
    generator = generator.to(options.device).train()
    judge = modules.Discriminator(0, size, 3, **sizes).to(options.device).train()
    return Networks(
        lambda z: generator.mapping(z, None, skip_w_avg_update=True),
        lambda w: generator.synthesis(w, noise_mode="random"),
        lambda x: judge(x, None),
        generator,
        judge,
    )


def _official_modules(checkout: Path) -> Any:
    with _importable(checkout):
        from training import networks

        return networks


def _sizes(base: int, most: int) -> dict[str, Any]:
    return {"channel_base": base, "channel_max": most, "num_fp16_res": 0, "conv_clamp": None}


def _rosinality(net: StyleGAN2Generator, checkout: Path, base: int) -> nn.Module:
    """Its generator with our weights; its widths are fixed but for a multiplier."""
    from torch.utils import cpp_extension

    # Its import builds CUDA kernels that a CPU never calls.
    build, cpp_extension.load = cpp_extension.load, lambda *_, **__: None
    try:
        with _importable(checkout):
            import model
    finally:
        cpp_extension.load = build
    size, depth = net.config.resolution, net.config.mapping_layers
    other = model.Generator(size, 512, depth, channel_multiplier=base // 16384).eval().requires_grad_(False)
    state = rosinality_generator(net.state_dict(), len(net.config.widths) - 1, depth)
    missing = other.load_state_dict(state, strict=False).missing_keys
    assert all("noise" in name for name in missing), missing
    return other


@contextmanager
def _importable(checkout: Path) -> Iterator[None]:
    if not checkout.is_dir():
        raise SystemExit(f"there is no folder {checkout}; give the checkout of the program to compare with.")
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))


def _flops(work: Work) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _cast(device: str, work: Work) -> object:
    with torch.autocast(device.partition(":")[0], torch.bfloat16):
        return work()


def _seconds(work: Work, device: str) -> float:
    if device == "cpu":
        begun = time.process_time()
        work()
        return time.process_time() - begun
    torch.cuda.synchronize()
    begun = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
