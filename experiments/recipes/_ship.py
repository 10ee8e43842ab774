"""Trains the shipped weights again: `python -m advgen.experiments.recipes._ship [NAME ...]`, all of them without names.

On the same machine with as many threads the files come out byte by byte the same: one, but two for
`stylegan2_avatars_64` after its first stage. Each card says what its training cost.
`perceptual_embedded` needs the pictures and the SqueezeNet file in `ADVGEN_DATA`.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from advgen.core import checkpoints, registry
from advgen.core.errors import AdvgenError, UnknownName
from advgen.core.meter import Meter
from advgen.core.specs import Scalar


class Shipped(NamedTuple):
    """How one shipped checkpoint is made."""

    recipe: str
    args: Mapping[str, Scalar] = {}
    seed: int = 0
    before: Sequence[Mapping[str, Scalar]] = ()  # what was different in earlier stages of one training


_PORTRAITS_CLIP: Mapping[str, Scalar] = {
    "generator": "stylegan2_avatars_64",
    "encoder": "stylegan2_avatars_64_encoder",
    "precision": "bf16",
}

# In this order: later ones are measured with, or trained against, earlier ones.
SHIPPED: Mapping[str, Shipped] = {
    "digits_classifier": Shipped("digits_classifier"),
    "dae_digits": Shipped(
        "dae",
        {"name": "dae_digits", "data": "digits", "size": None, "sigma": 0.2, "classifier": "digits_classifier"}
        | {"width": 24, "epochs": 60},
    ),
    "avatars_identity_32": Shipped("avatars_identity"),
    # A second opinion for transfer and for held-out judging: another width, other first weights, another order.
    "avatars_identity_32_b": Shipped("avatars_identity", {"name": "avatars_identity_32_b", "width": 12}, seed=1),
    "avatars_attributes_32": Shipped("avatars_attributes"),
    "dae_avatars_32": Shipped(
        "dae", {"name": "dae_avatars_32", "size": 32, "classifier": "avatars_identity_32", "epochs": 16}
    ),
    "perceptual_embedded": Shipped("perceptual_embedded"),
    "stylegan2_avatars_64": Shipped(
        "stylegan2",
        {
            "name": "stylegan2_avatars_64",
            "size": 64,
            "count": 20_000,
            "images": 400_000,
            "batch_size": 16,
            "channel_base": 1024,
        }
        | {"r1_gamma": 0.5, "every": 10_000, "precision": "bf16", "noise": "last"},
        # With noise everywhere it draws dotted edges by it; taken away for a while, all but the grain comes from w.
        before=(
            {"images": 165_824, "precision": "32", "noise": "random"},
            {"images": 279_296, "noise": "none"},
        ),
    ),
    # Needs the pictures of Fashion-MNIST in `ADVGEN_DATA`.
    "stylegan2_fashion_32": Shipped(
        "stylegan2",
        {"name": "stylegan2_fashion_32", "data": "fashion-mnist", "images": 160_000, "batch_size": 16}
        | {"channel_base": 1024, "channel_max": 64, "every": 10_000},
    ),
    "stylegan2_avatars_64_encoder": Shipped(
        "stylegan2_encoder",
        {"name": "stylegan2_avatars_64_encoder", "images": 4096, "epochs": 4, "net": "squeeze"},
    ),
    # The judges of edits, apart from all else; in bfloat16, so the same bytes only on processors of one kind.
    "judge_attributes_64": Shipped("judge_attributes", seed=71),
    "judge_identity_64": Shipped("judge_identity", seed=72),
    # What latent attacks are to fool, and another architecture for transfer; persons that no data set holds.
    "avatars_matcher_64": Shipped("matcher"),
    "avatars_matcher_64_b": Shipped(
        "matcher",
        {"name": "avatars_matcher_64_b", "architecture": "face-mixer", "width": 96},
        seed=1,
    ),
    # Of two parts, both towers first. Images pass in bfloat16: the same bytes only on processors of one kind.
    "clip_avatars_64": Shipped(
        "clip_avatars",
        {**_PORTRAITS_CLIP, "full": 1_500, "rebuilt": 1_500, "nearly_right": 2, "epochs": 4, "learning_rate": 1.5e-3}
        | {"start": "recipe:clip_avatars:" + ",".join(f"{k}={v}" for k, v in _PORTRAITS_CLIP.items())},
    ),
    # Need the text in `ADVGEN_DATA`.
    **{
        f"{text}_{method.replace('-', '_')}": Shipped(
            "word_vectors", {"text": text, "method": method, "epochs": epochs}
        )
        for text, method, epochs in (
            ("wikipedia", "glove", 20),
            ("wikipedia", "skip-gram", 4),
            ("pubmed", "glove", 20),
            ("pubmed", "skip-gram", 6),
        )
    },
    "text_to_latent_avatars_64": Shipped("text_to_latent", {"name": "text_to_latent_avatars_64"}),
}


def ship(names: Sequence[str], out: Path, *, device: str = "cpu", limit: int | None = None) -> None:
    """Trains the named checkpoints anew into a folder, with a line on stdout for each.

    Raises:
        UnknownName: a name that is not shipped.
    """
    for name in names:
        if name not in SHIPPED:
            raise UnknownName.among("shipped checkpoint", name, SHIPPED)
    for name in names or tuple(SHIPPED):
        entry = SHIPPED[name]
        begun = time.perf_counter()
        stages = [*({**entry.args, **other, "keep": "state"} for other in entry.before), entry.args]
        for stage, args in enumerate(stages):
            recipe = registry.create("recipes", entry.recipe, **args)
            card = recipe.train(out, seed=entry.seed, device=device, resume=stage > 0, limit=limit, meter=Meter())
        assert card.name == name, f"{card.name} is shipped as {name}"
        size = (out / f"{name}.safetensors").stat().st_size
        print(f"{name}: {time.perf_counter() - begun:.0f} s, {size:,} bytes, {card.metrics}", flush=True)


if __name__ == "__main__":
    from advgen.core.device import set_threads

    set_threads(1)
    try:
        ship(sys.argv[1:], checkpoints.places()[0])
    except AdvgenError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
