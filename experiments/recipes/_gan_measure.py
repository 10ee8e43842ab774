"""A generator's numbers: the score that chooses weights on the way, and what stands on its card."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advgen.core.images import to_uint8
from advgen.core.rng import stream_seed
from advgen.experiments.recipes._make import Splits
from advgen.generators.stylegan2 import StyleGAN2Generator

SCORED = 2048  # images behind the score on the way
BATCH = 32
PATHS = 2048  # pairs behind the path length
LEAST_HELD_OUT = 100  # images, for a copy check
COPIES = 1000  # generated and held-out images whose nearest training image is looked for


@torch.no_grad()
def generated(net: StyleGAN2Generator, count: int, conditions: Tensor | None, seed: int, purpose: str) -> Tensor:
    """uint8 (count, C, R, R) on the CPU, from z and conditions that hang on the seed alone; stored noise."""
    generator = torch.Generator().manual_seed(stream_seed(seed, f"measure/{purpose}", ""))
    z = torch.randn(count, net.z_dim, generator=generator)
    c = None if conditions is None else conditions[torch.randint(len(conditions), (count,), generator=generator)]
    at = net.mean_w.device
    made = []
    for i in range(0, count, BATCH):
        images = net(z[i : i + BATCH].to(at), None if c is None else c[i : i + BATCH].to(at))
        made.append(to_uint8(images.clamp(0, 1)).cpu())
    return torch.cat(made)


def validation_score(
    real_u8: Tensor, conditions: Tensor | None, seed: int, *, shown: int
) -> Callable[[StyleGAN2Generator], float]:
    """FID against validation images, in the best features that are there; the lower the better.

    A training that is `shown` fewer images than `SCORED` is scored on so many.
    """
    from advgen.metrics.fid import FidProbe

    probe = FidProbe(real_u8)
    return lambda net: probe.of(generated(net, min(SCORED, shown), conditions, seed, "validation"))


def measured(
    net: StyleGAN2Generator, splits: Splits, conditions: Tensor | None, seed: int, *, shown: int
) -> dict[str, Any]:
    """For the card: distances to the test split, path length, and whether training images are copied."""
    from advgen.core.perceptual import LPIPS, default_net
    from advgen.metrics.copies import copy_check
    from advgen.metrics.path_length import perceptual_path_length
    from advgen.metrics.sets import compare_sets

    test, train = splits.test.images_u8, splits.train.images_u8
    count = min(SCORED, max(2, shown))
    fake = generated(net, count, conditions, seed, "test")
    report = compare_sets(test, fake, seed=seed)
    ideal = compare_sets(test, train[torch.linspace(0, len(train) - 1, count).long()], seed=seed)
    lpips = LPIPS(default_net(test.shape[-1]).net)
    paths = perceptual_path_length(net, lpips, space="w", count=min(PATHS, count), conditions=conditions, seed=seed)
    copied = copy_check(fake[:COPIES], train, test[:COPIES]) if len(test) >= LEAST_HELD_OUT else ()
    return {
        "fid": _rounded(report.fid, report.fid_interval, 3),
        "fid of training images": _rounded(ideal.fid, ideal.fid_interval, 3),
        "kid": _rounded(report.kid, report.kid_interval, 5),
        "precision": _rounded(report.precision, report.precision_interval, 3),
        "recall": _rounded(report.recall, report.recall_interval, 3),
        "features": report.features,
        "features stand in for": report.stands_in_for,
        "n real": report.n_real,
        "n generated": report.n_fake,
        "ppl w end": {**_rounded(paths.mean, paths.interval, 2), "distance": paths.distance, "n": paths.n},
        "copies": {
            found.space: {
                "exact": found.exact,
                "suspect": _rounded(found.suspect, found.suspect_interval, 4),
                "generated median": round(found.generated_median, 4),
                "held-out median": round(found.held_out_median, 4),
                "n": found.n_generated,
            }
            for found in copied
        },
        "notes": list(report.notes),
    }


def _rounded(value: float | None, interval: tuple[float, float] | None, digits: int) -> dict[str, Any]:
    """A number with its 95% interval."""
    if value is None:
        return {"value": None}
    shown: dict[str, Any] = {"value": round(value, digits)}
    if interval is not None:
        shown["interval"] = [round(bound, digits) for bound in interval]
    return shown
