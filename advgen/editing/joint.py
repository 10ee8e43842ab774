"""One space of phrases and latents: a small head each, trained against each other on phrases that are true of images.

A phrase vector of any text encoder (word vectors, CLIP) and a latent w or w+ become unit vectors whose cosine tells how
well they belong together. Both directions of InfoNCE, temperature learned (Radford et al. 2021, arXiv 2103.00020,
figure 3), where all that is true of a latent is right and not its own phrase alone, so that equal captions never push
each other away.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.core.errors import BadArgument

HIGHEST_SCALE = 100.0  # of the logits, as in the paper


class JointSpace(nn.Module):
    """Phrase vectors (N, T) and latents (N, L, D) to unit vectors (N, J)."""

    mean_w: Tensor  # (D,) of the generator
    spread_w: Tensor  # () root mean square of a coordinate of w around it
    mean_text: Tensor  # (T,) of the phrases of the training
    spread_text: Tensor  # ()

    def __init__(self, text_dim: int, num_ws: int, w_dim: int, dim: int = 64, hidden: int = 96) -> None:
        super().__init__()
        if min(text_dim, num_ws, w_dim, dim, hidden) < 1:
            raise BadArgument(
                "text_dim, num_ws, w_dim, dim and hidden of a joint space must be 1 or more, got "
                f"{text_dim}, {num_ws}, {w_dim}, {dim} and {hidden}."
            )
        self.text = _head(text_dim, hidden, dim)
        self.latent = _head(num_ws * w_dim, hidden, dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.register_buffer("mean_w", torch.zeros(w_dim))
        self.register_buffer("spread_w", torch.ones(()))
        self.register_buffer("mean_text", torch.zeros(text_dim))
        self.register_buffer("spread_text", torch.ones(()))

    def fit_to(self, text: Tensor, w: Tensor) -> None:
        """Means and spreads of the training's phrases (N, T) and latents (N, L, D)."""
        with torch.no_grad():
            self.mean_text.copy_(text.mean(0))
            self.spread_text.copy_((text - self.mean_text).square().mean().sqrt())
            self.mean_w.copy_(w.mean((0, 1)))
            self.spread_w.copy_((w - self.mean_w).square().mean().sqrt())

    def of_text(self, text: Tensor) -> Tensor:
        """(N, J) of length one.

        Raises:
            BadArgument: vectors of another length than those that the space was trained on.
        """
        check_text(text, len(self.mean_text))
        return functional.normalize(self.text((text - self.mean_text) / self.spread_text), dim=1)

    def of_latents(self, w: Tensor) -> Tensor:
        """(N, J) of length one."""
        return functional.normalize(self.latent(((w - self.mean_w) / self.spread_w).flatten(1)), dim=1)

    def loss(self, text: Tensor, w: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        """Mean of both directions over pairs; `right` and `wrong` (N, N): which phrases (rows) are so of which latents.

        Every right one is sought, its own at least (Khosla et al. 2020, arXiv 2004.11362, equation 2); what is
        neither right nor wrong is no negative.
        """
        right = right | torch.eye(len(text), dtype=torch.bool, device=text.device)
        logits = self.log_scale.exp() * self.of_text(text) @ self.of_latents(w).T
        logits = logits.masked_fill(~(right | wrong), -math.inf)
        return (_sought(logits, right) + _sought(logits.T, right.T)) / 2

    @torch.no_grad()
    def bound_scale(self) -> None:
        """Keeps the temperature where the paper keeps it; to be called after each step."""
        self.log_scale.clamp_(0, math.log(HIGHEST_SCALE))


def check_text(text: Tensor, text_dim: int) -> None:
    """Refuses phrase vectors of another encoder.

    Raises:
        BadArgument: not (N, text_dim).
    """
    if text.ndim != 2 or text.shape[1] != text_dim:
        raise BadArgument(
            f"phrase vectors (N, {text_dim}) were expected, got {tuple(text.shape)}: take the text encoder that this "
            "map was trained with."
        )


def _sought(logits: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy of the rows against even shares of what is right."""
    each = -logits.log_softmax(1).masked_fill(~right, 0.0).sum(1) / right.sum(1)
    return each.mean()


def _head(ins: int, hidden: int, outs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(ins, hidden), nn.SiLU(), nn.Linear(hidden, outs))
