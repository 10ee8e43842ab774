"""A generator as a program in torch's export format (`.pt2`), which runs without this package.

`torch.export.load("net.pt2").module()(z, psi)`, or `(z, c, psi)` with a condition, gives images (N, C, R, R) in [0, 1]
from z (N, Z) and a scalar tensor psi, with the stored noise; N may be any number up to 1024.
"""

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from advgen.core.files import write_atomically
from advgen.generators.stylegan2.generator import StyleGAN2Generator

MOST_AT_ONCE = 1024  # images; the format wants a limit


def export(generator: StyleGAN2Generator, target: Path) -> nn.Module:
    """Writes the program, and returns it as a module."""
    samples = torch.export.Dim("n", min=1, max=MOST_AT_ONCE)
    z = torch.randn(2, generator.z_dim)
    c = (torch.zeros(2, generator.c_dim),) if generator.c_dim else ()
    shapes = ({0: samples},) * (1 + len(c))
    with torch.no_grad(), warnings.catch_warnings():
        # The export machinery of torch warns of its own parts, which differ between its versions.
        warnings.simplefilter("ignore")
        program = torch.export.export(_Whole(generator), (z, *c, torch.tensor(0.7)), dynamic_shapes=((*shapes, None),))
        file = io.BytesIO()
        torch.export.save(program, file)
        write_atomically(target, file.getvalue())
        return program.module()


class _Whole(nn.Module):
    """z, the condition where there is one, and psi to images."""

    def __init__(self, generator: StyleGAN2Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *given: Tensor) -> Tensor:
        *latents, psi = given
        w = self.generator.mapping(*latents)
        return self.generator.synthesis(self.generator.mean_w.lerp(w, psi))
