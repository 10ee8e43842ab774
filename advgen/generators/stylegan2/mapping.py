"""The mapping network: z, with or without a condition, to w; truncation towards the mean of w.

Truncation trick: Karras et al., arXiv 1812.04948, appendix B.
"""

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.layers import FullyConnected, unit_second_moment

MEAN_DRAWS = 4096  # z over which a missing mean of w is taken
_LR = 0.01


class MappingNetwork(nn.Module):
    """z (N, Z) and c (N, C) to w (N, L, D); Z = 0 maps the condition alone, without truncation, to (N, D)."""

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_ws: int, layers: int) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.layers = z_dim, c_dim, w_dim, num_ws, layers
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        for i in range(layers):
            ins = z_dim + (w_dim if c_dim else 0) if i == 0 else w_dim
            self.add_module(f"fc{i}", FullyConnected(ins, w_dim, lr=_LR, active=True))
        if z_dim:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor | None, c: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """`psi` 1 = no truncation, 0 = the mean; the first `cutoff` rows are truncated, None = all.

        Raises:
            BadArgument: z or c of a wrong shape, or missing.
        """
        w = self._mapped(z, c)
        if not self.z_dim:
            return w
        rows = w[:, None].expand(-1, self.num_ws, -1)
        if psi == 1:
            return rows.clone()
        truncated = self.w_avg.lerp(rows, psi)
        if cutoff is None:
            return truncated
        return torch.cat([truncated[:, :cutoff], rows[:, cutoff:]], 1)

    def _mapped(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        parts = []
        if self.z_dim:
            _refuse_other_shape("z", z, self.z_dim)
            parts.append(unit_second_moment(z))
        if self.c_dim:
            _refuse_other_shape("the condition c", c, self.c_dim)
            parts.append(unit_second_moment(self.embed(c)))
        x = torch.cat(parts, 1)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    @torch.no_grad()
    def measured_mean(self) -> Tensor:
        """The mean of w (D,) over a fixed set of z; with a condition, over its unit vectors in turn."""
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(MEAN_DRAWS, self.z_dim, generator=generator)
        c = torch.eye(self.c_dim)[torch.arange(MEAN_DRAWS) % self.c_dim] if self.c_dim else None
        at = self.w_avg.device
        return self._mapped(z.to(at), None if c is None else c.to(at)).mean(0)


def _refuse_other_shape(name: str, given: Tensor | None, length: int) -> None:
    if given is None or given.ndim != 2 or given.shape[1] != length:
        got = "none" if given is None else tuple(given.shape)
        raise BadArgument(f"{name} must have the shape (N, {length}), got {got}.")
