"""How many images a batch holds, by measurement: the size at which a gradient costs least an image, and that fits.

A size is tried on the network that is attacked, forward and backward to the input, smallest first. Larger ones are left
when they are no faster, or when memory runs out.
"""

import time
from collections.abc import Callable, Sequence

import torch

from advgen.core import images as pictures
from advgen.core.specs import Cell
from advgen.core.types import Outputs
from advgen.experiments.assemble import Assembly

SIZES = (16, 32, 64, 128, 256)
WORTH_IT = 0.95  # of the time an image that a larger batch must stay under
TRIES = 3  # of which the fastest counts


def measured_batch_size(cells: Sequence[Cell], assembly: Assembly, *, say: Callable[[str], None]) -> int:
    """The smallest of what suits each attacked network; 64 where there is none."""
    asked = {(cell.target, cell.data): cell for cell in cells if cell.attack is not None}
    chosen = [_for_target(cell, assembly) for cell in asked.values()]
    size = min(chosen, default=64)
    say(f"batches of {size} images, as measured on {len(chosen)} network(s) of the study")
    return size


def _for_target(cell: Cell, assembly: Assembly) -> int:
    target, _ = assembly.target(cell.target, cell.data)
    images = pictures.to_float(assembly.first(cell.data, SIZES[-1]).images_u8).to(assembly.device)
    best, least = SIZES[0], torch.inf
    for size in SIZES:
        if size > len(images) and size > SIZES[0]:
            break
        try:
            seconds = min(_seconds(target, images[:size]) for _ in range(TRIES)) / min(size, len(images))
        except (torch.cuda.OutOfMemoryError, MemoryError):
            break
        if seconds < WORTH_IT * least:
            best, least = size, seconds
    return best


def _seconds(target: Callable[[torch.Tensor], Outputs], images: torch.Tensor) -> float:
    begun = time.perf_counter()
    images = images.clone().requires_grad_()
    logits = target(images).logits
    if logits.requires_grad:
        torch.autograd.grad(logits.sum(), images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - begun
