"""Whether perceptual path length ranks generators as FID and the distance to real images do, and images as well."""

from typing import Any

from advgen.experiments.studies.lazy_regularisation import ARMS, IMAGES, TRAINED
from advgen.experiments.study import Study, parse

QUESTION = "Does perceptual path length rank generators as FID and LPIPS to the nearest real image do, and images too?"
DESCRIPTION = (
    "The generators of lazy_regularisation, half-way and at the end: with and without each penalty, three seeds an "
    "arm. Path lengths in w (ends) and in z (whole paths), arXiv 1812.04948, section 4.1. Over generators an arm is "
    "one point, and two of each training are no independent ones; over the images of one generator there are 512."
)


def study() -> Study:
    """Eight arms, three seeds; nothing is trained that lazy_regularisation has not."""
    arms = [
        {"arm": f"{name}, {at:,}", "args": {"generator": TRAINED.format(r1=r1, path=path), "at": at}}
        for name, (r1, path) in ARMS.items()
        for at in (IMAGES // 2, IMAGES)
    ]
    return parse(
        {
            "name": "ppl_and_quality",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [{"measure": "generator", "arms": arms, "seeds": [0, 1, 2]}],
            "claims": _claims(),
        },
        "ppl_and_quality",
    )


def _claims() -> list[dict[str, Any]]:
    over_generators = [
        {"statement": f"Over generators, {name} rises with {other}", "of": {}, "ranks": [path, quality]}
        for path, name in (("ppl_w", "path length in w"), ("ppl_z", "path length in z"))
        for quality, other in (("fid", "FID"), ("lpips_nearest", "LPIPS to the nearest real image"))
    ]
    # Of one generator each: the arms of a training half-way and at its end are no independent readings.
    over_images = [
        {
            "statement": f"{name}: images on longer paths are further from real ones, correlation above 0.1",
            "quantity": "path_rank",
            "of": {"arm": f"{name}, {IMAGES:,}"},
            "margin": 0.1,
        }
        for name in ARMS
    ]
    return [*over_generators, *over_images]
