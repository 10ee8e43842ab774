"""LPIPS inside an optimisation: images a second of the lpips package and of ours, on the same steps.

    ADVGEN_DATA=FOLDER python benchmarks/perceptual.py [--net squeeze] [--side 64] [--batch 8] [--steps 100]

Both move a batch by the sign of the distance's gradient. Runs alternate; a ratio is taken of each neighbouring pair,
and the median ratio is printed with its 90% interval (from the order of the pairs' ratios). CPU time, one thread unless
--threads. Before that, distances and gradients are compared on the images along the package's own path.
(This file must not be called lpips.py: it would be imported in the package's place.)
"""

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from scipy.stats import binom
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.images import resize
from advgen.core.perceptual import LPIPS
from advgen.core.perceptual_nets import NETS

STEP = 1 / 1000  # in units of [0, 1]


def package(net: str) -> Any:
    """The lpips package's metric on the very file that ours reads."""
    import lpips

    with TemporaryDirectory() as hub, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = checkpoints.find(*NETS[net].files).resolve()
        before = torch.hub.get_dir()
        torch.hub.set_dir(hub)
        try:
            place = checkpoints.places()[-1]
            place.mkdir()
            (place / NETS[net].files[0]).symlink_to(file)
            return lpips.LPIPS(net=net, verbose=False)
        finally:
            torch.hub.set_dir(before)


def path(images: Tensor, distance: Callable[[Tensor], Tensor], steps: int) -> tuple[list[Tensor], list[Tensor]]:
    """The images and gradients along a descent of `steps` sign steps."""
    visited, gradients = [], []
    for _ in range(steps):
        images = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(distance(images).sum(), images)
        visited.append(images.detach())
        gradients.append(gradient)
        images = images - STEP * gradient.sign()
    return visited, gradients


def seconds(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def interval(ratios: list[float], level: float = 0.9) -> tuple[float, float]:
    """Of the median, without assuming a distribution: order statistics by the binomial law."""
    ordered = sorted(ratios)
    low = int(binom.ppf((1 - level) / 2, len(ordered), 0.5))
    return ordered[max(low - 1, 0)], ordered[min(len(ordered) - low, len(ordered) - 1)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--net", default="squeeze", choices=[net for net in NETS if net != "embedded"])
    for name, value in {"side": 64, "batch": 8, "steps": 100, "pairs": 15, "threads": 1}.items():
        options.add_argument(f"--{name}", type=int, default=value)
    given = options.parse_args()
    torch.set_num_threads(given.threads)

    theirs, ours = package(given.net), LPIPS(given.net)
    generator = torch.Generator().manual_seed(0)
    originals = resize(torch.rand(given.batch, 3, 16, 16, generator=generator), given.side)
    start = (originals + 0.1 * torch.randn(originals.shape, generator=generator)).clamp(0, 1)

    def run_theirs(steps: int = given.steps) -> tuple[list[Tensor], list[Tensor]]:
        return path(start, lambda x: theirs(x, originals, normalize=True), steps)

    def run_ours(steps: int = given.steps) -> tuple[list[Tensor], list[Tensor]]:
        reference = ours.reference(originals)
        return path(start, lambda x: ours.distance_to(x, reference), steps)

    reference = ours.reference(originals)
    apart, turned = 0.0, 0.0
    for images, gradient in zip(*run_theirs(), strict=True):
        images = images.requires_grad_()
        distance = ours.distance_to(images, reference)
        (mine,) = torch.autograd.grad(distance.sum(), images)
        with torch.no_grad():
            apart = max(apart, float((distance - theirs(images, originals, normalize=True).flatten()).abs().max()))
        turned = max(turned, float((mine - gradient).norm() / gradient.norm()))
    print(f"{given.steps} steps along the package's path: largest difference of a distance {apart:.1e}, ", end="")
    print(f"of a gradient {turned:.1e} of its length")

    run_theirs(3), run_ours(3)
    times = [(seconds(run_theirs), seconds(run_ours)) for _ in range(given.pairs)]
    low, high = interval([a / b for a, b in times])
    images = given.batch * given.steps
    print(
        f"net {given.net}, {given.batch} images of {given.side}x{given.side}, {given.steps} steps, CPU time, ", end=""
    )
    print(f"{given.threads} thread(s), {given.pairs} pairs")
    print(f"lpips {images / median(a for a, _ in times):8.1f} images/s")
    print(f"ours  {images / median(b for _, b in times):8.1f} images/s")
    print(f"ratio {median(a / b for a, b in times):.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
