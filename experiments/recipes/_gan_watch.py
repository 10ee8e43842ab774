"""What is looked at while a GAN trains: pictures, warnings of collapse, and where a number stopped being finite."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advgen.core.files import write_atomically
from advgen.core.images import grid, save_png, to_uint8
from advgen.core.rng import stream_seed
from advgen.generators.stylegan2 import StyleGAN2Generator

SHOWN = 48  # images of a picture, and of the measure of variety
COLLAPSED = 0.5  # of the real images' variety: less is warned of, after the first looks
EARLY = 0.1  # share of the training before which a generator may still be grey
OVERFITTED = 0.9  # mean sign of D's logits on real images
FORGOTTEN = 2.0  # times the best score


class Look:
    """Writes a picture at every look and warns; `folder` gets reals.png, IMAGES.png and log.jsonl."""

    def __init__(self, folder: Path, name: str, data: Tensor, conditions: Tensor | None, seed: int) -> None:
        self.folder, self.name = folder, name
        some = torch.linspace(0, len(data) - 1, min(SHOWN, len(data))).long()
        self.real, self.conditions = data[some], None if conditions is None else conditions[some]
        self.generator = torch.Generator().manual_seed(stream_seed(seed, "train/look", ""))
        self.z: Tensor | None = None

    @torch.no_grad()
    def take(
        self, net: StyleGAN2Generator, row: dict[str, Any], before: Sequence[dict[str, Any]], total: int
    ) -> dict[str, Any]:
        """What is added to the row of the log: variety, and warnings where there are any."""
        if self.z is None:
            self.z = torch.randn(len(self.real), net.z_dim, generator=self.generator)
        z = self.z.to(net.mean_w)
        c = None if self.conditions is None else self.conditions.to(z)
        images = torch.cat([net(z[i : i + 8], None if c is None else c[i : i + 8]).cpu() for i in range(0, len(z), 8)])
        images = images.clamp(0, 1)
        variety = float(_variety(images) / _variety(self.real.float() / 255).clamp_min(1e-6))
        save_png(grid(to_uint8(images), columns=8), self.folder / f"{row['images']:08d}.png")
        if not before:
            save_png(grid(self.real, columns=8), self.folder / "reals.png")
        added: dict[str, Any] = {"variety": round(variety, 4)}
        warnings = self._warnings({**row, **added}, before, total)
        if warnings:
            added["warnings"] = warnings
        self._tell({**row, **added}, before, total)
        return added

    def _warnings(self, row: dict[str, Any], before: Sequence[dict[str, Any]], total: int) -> list[str]:
        said = []
        late = row["images"] >= EARLY * total
        if late and row["variety"] < COLLAPSED:
            said.append(f"collapse: images vary {row['variety']:.2f} times as much as real ones; raise r1_gamma")
        if late and row.get("real sign", 0.0) > OVERFITTED:
            said.append(
                f"the discriminator is sure of real images (mean sign {row['real sign']:.2f}): it overfits or the "
                "generator is lost; use augment=ada, or raise r1_gamma"
            )
        scores = [earlier["score"] for earlier in before if "score" in earlier]
        if scores and row.get("score", 0.0) > FORGOTTEN * min(scores):
            said.append(f"the score went from {min(scores):.3g} to {row['score']:.3g}; the best one is kept")
        return said

    def _tell(self, row: dict[str, Any], before: Sequence[dict[str, Any]], total: int) -> None:
        rows = [*before, row]
        write_atomically(self.folder / "log.jsonl", "".join(json.dumps(r) + "\n" for r in rows).encode())
        first = before[-1] if before else {"images": 0, "seconds": 0.0}
        done, took = row["images"] - first["images"], row["seconds"] - first["seconds"]
        speed = done / took if took > 0 else float("nan")
        left = (total - row["images"]) / speed / 60 if speed > 0 else float("nan")
        numbers = ", ".join(
            f"{name} {row[name]:.4g}"
            for name in ("generator", "discriminator", "R1", "path lengths", "real sign", "p", "variety", "score")
            if name in row
        )
        print(
            f"{self.name}: {row['images']:,} of {total:,} images, {speed:.1f} a second, {left:.0f} min left: {numbers}",
            *[f"  WARNING {warning}" for warning in row.get("warnings", ())],
            sep="\n",
            file=sys.stderr,
            flush=True,
        )


def not_finite(
    phase: str, loss: Tensor, net: nn.Module, networks: Sequence[nn.Module], again: Callable[[], Tensor]
) -> str:
    """ "" if the loss and the gradients of `net` are finite, else a clause that says what is not and in which layer.

    `again` runs the phase once more, so that the first layer with a bad output can be found.
    """
    if bool(torch.isfinite(loss)) and all(_sound(p.grad) for p in net.parameters()):
        return ""
    what = f"the {phase} loss" if not bool(torch.isfinite(loss)) else f"a gradient of the {phase} loss"
    for network in networks:
        for name, parameter in network.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                return f"{what} is not finite, since the weights {_named(network, name)} are not"
    bad: list[str] = []
    handles = [
        module.register_forward_hook(_remember(_named(network, name), bad))
        for network in networks
        for name, module in network.named_modules()
        if name
    ]
    try:
        again()
    finally:
        for handle in handles:
            handle.remove()
    if bad:
        return f"{what} is not finite, first in the output of {bad[0]}"
    # Gradients reach the last layers first.
    for name, parameter in reversed(list(net.named_parameters())):
        if not _sound(parameter.grad):
            return f"{what} is not finite, first at the weights {_named(net, name)}"
    return f"{what} is not finite"


def _sound(gradient: Tensor | None) -> bool:
    return gradient is None or bool(torch.isfinite(gradient).all())


def _named(network: nn.Module, name: str) -> str:
    return f"{'G' if isinstance(network, StyleGAN2Generator) else 'D'}.{name}"


def _remember(name: str, bad: list[str]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, given: Any, made: Any) -> None:
        if isinstance(made, Tensor) and not bool(torch.isfinite(made).all()):
            bad.append(name)

    return hook


def _variety(images: Tensor) -> Tensor:
    """Standard deviation over images, mean over pixels: 0 where all are the same."""
    return images.std(0).mean()
