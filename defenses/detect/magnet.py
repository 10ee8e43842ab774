"""MagNet's detectors: how far an image is from its autoencoder's reconstruction, in pixels or in the target's opinion.

`l1` and `l2` are the mean over pixels of |x - AE(x)|^p; an image off the manifold of clean images is rebuilt badly.
`jsd` compares what the classifier says of x and of AE(x), softened by a temperature: errors in pixels are small for
small perturbations, while a confident classifier changes its mind. The paper uses several at once; that is several
alarms side by side.

Meng & Chen 2017, "MagNet: a Two-Pronged Defense against Adversarial Examples", arXiv 1705.09064, sections 4.1.1, 4.1.2.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, final

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Target


@final
@dataclass(frozen=True)
class MagNet:
    paper = "Meng & Chen 2017, arXiv 1705.09064"
    cost = "forward"
    needs = ("autoencoder", "classifier")
    stochastic = False
    differentiable = True

    statistic: Literal["l1", "l2", "jsd"] = "l2"  # what is measured between an image and its reconstruction
    temperature: float = 10.0  # of the softmax, for jsd; high values keep the classes that a confident output hides
    weights: str | None = None  # checkpoint of the autoencoder, by name or path; None = the shipped one for the data
    autoencoder: nn.Module | None = field(default=None, repr=False, compare=False)  # images to images, in [0, 1]
    classifier: Target | None = field(default=None, repr=False, compare=False)  # the undefended target, for jsd

    def __post_init__(self) -> None:
        if self.statistic not in ("l1", "l2", "jsd"):
            raise BadArgument(f"detect/magnet: statistic must be l1, l2 or jsd, got {self.statistic!r}.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise BadArgument(f"detect/magnet: temperature must be a positive number, got {self.temperature:g}.")

    def fit(self, clean: Tensor, *, rng: SampleRng) -> "MagNet":
        """The same detector: the autoencoder is all that is learned, and it is trained by its recipe."""
        return replace(self)

    def score(self, images: Tensor, rng: SampleRng) -> Tensor:
        """(N,): mean |x - AE(x)|^p, or the Jensen-Shannon divergence in nats, from 0 to log 2."""
        if self.autoencoder is None:
            raise BadArgument("detect/magnet needs an autoencoder: name its checkpoint with weights=NAME.")
        rebuilt: Tensor = self.autoencoder(images)
        if self.statistic == "jsd":
            return self._divergence(images, rebuilt)
        gap = (images - rebuilt).flatten(1)
        return (gap.abs() if self.statistic == "l1" else gap.square()).mean(1)

    def surrogate(self) -> "MagNet":
        return self

    def _divergence(self, images: Tensor, rebuilt: Tensor) -> Tensor:
        if self.classifier is None:
            raise BadArgument("detect/magnet with statistic=jsd needs the classifier whose outputs it compares.")
        p, q = (self._log_probabilities(self.classifier, x) for x in (images, rebuilt))
        mixture = torch.logaddexp(p, q) - math.log(2)
        per_decision = 0.5 * ((p.exp() * (p - mixture)).sum(-1) + (q.exp() * (q - mixture)).sum(-1))
        return per_decision.flatten(1).mean(1)

    def _log_probabilities(self, classifier: Target, images: Tensor) -> Tensor:
        """(N, 1, K) of one decision among K classes, or (N, K, 2) of K decisions by sign."""
        logits = classifier(images).logits / self.temperature
        if classifier.decision == "sign":
            logits = torch.stack([logits / 2, -logits / 2], dim=-1)
        else:
            logits = logits[:, None]
        return logits.log_softmax(-1)
