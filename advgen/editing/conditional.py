"""p(w | text): a phrase and z in, a latent out, so that one phrase gives many faces and every thing it names.

A velocity field carries z, drawn from a normal distribution, along straight lines to latents of which the phrase is
true: conditional flow matching (Lipman et al. 2023, arXiv 2210.02747, equation 23; Liu et al. 2023, arXiv 2209.03003).
Some phrases are left out in training, so that at sampling the phrase may weigh more than it does in the data
(classifier-free guidance, Ho & Salimans 2022, arXiv 2207.12598, equation 6). The way back gives the z of a latent under
a phrase. Networks see w alone, never images.
"""

import math

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.editing.joint import check_text

TIMES = 16  # frequencies that the time is told by


class ConditionalMapper(nn.Module):
    """The velocity field over latents of `rows` rows, and the latents that follow it.

    Phrase vectors are (N, T), z is (N, z_dim), latents are (N, L, D); with one row all L are equal (space w), with L of
    them each is its own (w+). `z_dim` principal components of the latents are kept.
    """

    basis: Tensor  # (rows * D, z_dim) orthonormal columns
    spread: Tensor  # (z_dim,) standard deviation of each component
    mean_w: Tensor  # (rows * D,)
    mean_text: Tensor  # (T,)
    spread_text: Tensor  # ()

    def __init__(
        self, text_dim: int, num_ws: int, w_dim: int, rows: int, z_dim: int, width: int = 224, blocks: int = 3
    ) -> None:
        super().__init__()
        if rows not in (1, num_ws) or not 1 <= z_dim <= rows * w_dim:
            raise BadArgument(
                f"rows must be 1 or {num_ws} and z_dim 1 to rows * {w_dim}, got rows {rows} and z_dim {z_dim}."
            )
        if min(text_dim, width, blocks) < 1:
            raise BadArgument(f"text_dim, width and blocks must be 1 or more, got {text_dim}, {width} and {blocks}.")
        self.num_ws, self.w_dim, self.rows, self.z_dim, self.text_dim = num_ws, w_dim, rows, z_dim, text_dim
        self.enter = nn.Linear(z_dim, width)
        self.told = nn.Sequential(nn.Linear(text_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.untold = nn.Parameter(torch.zeros(width))
        self.time = nn.Linear(2 * TIMES, width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(blocks)])
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, z_dim))
        self.register_buffer("basis", torch.eye(rows * w_dim)[:, :z_dim].clone())
        self.register_buffer("spread", torch.ones(z_dim))
        self.register_buffer("mean_w", torch.zeros(rows * w_dim))
        self.register_buffer("mean_text", torch.zeros(text_dim))
        self.register_buffer("spread_text", torch.ones(()))

    @torch.no_grad()
    def fit_to(self, text: Tensor, w: Tensor) -> None:
        """Means, components and spreads of the training's phrases (N, T) and latents (N, L, D)."""
        self.mean_text.copy_(text.mean(0))
        self.spread_text.copy_((text - self.mean_text).square().mean().sqrt())
        flat = self._flat(w)
        self.mean_w.copy_(flat.mean(0))
        _, lengths, components = torch.linalg.svd(flat - self.mean_w, full_matrices=False)
        self.basis.copy_(components[: self.z_dim].T)
        self.spread.copy_(lengths[: self.z_dim] / math.sqrt(len(flat) - 1))

    def coordinates(self, w: Tensor) -> Tensor:
        """(N, z_dim): a latent's components in their spreads."""
        return ((self._flat(w) - self.mean_w) @ self.basis) / self.spread

    def latents(self, coordinates: Tensor) -> Tensor:
        """(N, L, D): the way back."""
        flat = self.mean_w + (coordinates * self.spread) @ self.basis.T
        return flat.unflatten(1, (self.rows, self.w_dim)).expand(-1, self.num_ws, -1).clone()

    def _flat(self, w: Tensor) -> Tensor:
        """(N, rows * D); one row is the mean of a latent's."""
        return w.mean(1) if self.rows == 1 else w.flatten(1)

    def velocity(self, x: Tensor, time: Tensor, told: Tensor) -> Tensor:
        """(N, z_dim) at x (N, z_dim) and time (N,) in [0, 1], under `condition`'s (N, width)."""
        steps = torch.arange(TIMES, device=x.device) * math.pi / 2
        angles = time[:, None] * steps
        h = self.enter(x)
        c = told + self.time(torch.cat([angles.cos(), angles.sin()], 1))
        for block in self.blocks:
            h = block(h, c)
        return self.leave(h)

    def condition(self, text: Tensor | None, n: int) -> Tensor:
        """(N, width) of phrase vectors (N, T); without any, that of no phrase.

        Raises:
            BadArgument: vectors of another encoder.
        """
        if text is None:
            return self.untold.expand(n, -1)
        check_text(text, self.text_dim)
        return self.told((text - self.mean_text) / self.spread_text)

    def loss(self, text: Tensor, w: Tensor, *, untold: float = 0.1, noise: float = 0.0) -> Tensor:
        """Mean squared error of the velocity over components, a time and a z drawn for each row.

        untold: share of the rows whose phrase is left out. noise: of phrase vectors, in their spreads.
        """
        x1 = self.coordinates(w)
        x0, time = torch.randn_like(x1), torch.rand(len(x1), device=x1.device)
        x = x0.lerp(x1, time[:, None])
        told = self.condition(text + noise * self.spread_text * torch.randn_like(text), len(text))
        left_out = torch.rand(len(text), 1, device=x1.device) < untold
        told = torch.where(left_out, self.untold, told)
        return (self.velocity(x, time, told) - (x1 - x0)).square().mean()

    def forward(self, text: Tensor, z: Tensor, *, guidance: float = 2.0, steps: int = 12) -> Tensor:
        """Latents (N, L, D) of phrase vectors (N, T) and z (N, z_dim).

        guidance: 1 = as in the data, more = the phrase weighs more and faces vary less. steps: of Heun's method, each
        two looks at the field.

        Raises:
            BadArgument: z or vectors of a wrong shape, or steps under 1.
        """
        self._check(z, steps)
        told, untold = self.condition(text, len(z)), self.condition(None, len(z))
        return self.latents(self.carried(z, told, untold, guidance, 0.0, 1.0, steps))

    def z_of(self, w: Tensor, text: Tensor | None, *, steps: int = 24) -> Tensor:
        """(N, z_dim): what the phrase (none: no phrase) would have made w (N, L, D) of, without guidance."""
        told = self.condition(text, len(w))
        return self.carried(self.coordinates(w), told, told, 1.0, 1.0, 0.0, steps)

    def carried(
        self, x: Tensor, told: Tensor, untold: Tensor, guidance: float, begin: float, end: float, steps: int
    ) -> Tensor:
        """x carried along the field from one time to another by Heun's method."""

        def field(x: Tensor, time: float) -> Tensor:
            at = x.new_full((len(x),), time)
            v = self.velocity(x, at, told)
            return v if guidance == 1 else (v - (bare := self.velocity(x, at, untold))).mul_(guidance).add_(bare)

        step = (end - begin) / steps
        for k in range(steps):
            time = begin + k * step
            first = field(x, time)
            x = x + step / 2 * (first + field(x + step * first, time + step))
        return x

    def _check(self, z: Tensor, steps: int) -> None:
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise BadArgument(f"z must have the shape (N, {self.z_dim}), got {tuple(z.shape)}.")
        if steps < 1:
            raise BadArgument(f"steps must be at least 1, got {steps}.")


class _Block(nn.Module):
    """A residual step, shifted by the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.told, self.last = (nn.Linear(width, width) for _ in range(3))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.first(nn.functional.silu(self.norm(x))) + self.told(nn.functional.silu(told))
        return x + self.last(nn.functional.silu(h))
