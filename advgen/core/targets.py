"""Targets: a network with everything it owns (size, normalisation, classes, how its logits decide)."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Index, Outputs, Target


@final
class ModuleTarget:
    """Any torch module as a target: images in [0, 1] are resized, normalised and shown to it in eval mode.

    The module is used as it is: its mode and its parameters' `requires_grad` are put back after each call.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        *,
        decision: Literal["argmax", "sign"] = "argmax",
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        stochastic: bool = False,
        differentiable: bool = True,
    ) -> None:
        if decision not in ("argmax", "sign"):
            raise BadArgument(f"a target decides by 'argmax' or 'sign', got {decision!r}.")
        if (mean is None) != (std is None):
            raise BadArgument("give both mean and std of a target's normalisation, or neither.")
        self.network = network
        self.classes = classes
        self.image_shape = image_shape
        self.decision: Literal["argmax", "sign"] = decision
        self.stochastic = stochastic
        self.differentiable = differentiable
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        self.mean = mean
        self.std = std
        shape = (1, -1, 1, 1)
        self._mean = None if mean is None else torch.tensor(mean, device=device).reshape(shape)
        self._std = None if std is None else torch.tensor(std, device=device).reshape(shape)

    def __call__(self, images: Tensor, rng: SampleRng | None = None) -> Outputs:
        """Logits (N, K) of images (N, C, H, W)."""
        with _Frozen(self.network):
            logits = self.network(self._prepared(images))
        if logits.dim() != 2:
            raise BadArgument(
                f"a target must return logits of shape (N, K), and this network returned {tuple(logits.shape)}."
            )
        return Outputs(logits)

    def take(self, index: Index) -> "ModuleTarget":
        return self

    def as_module(self, rng: SampleRng | None = None) -> nn.Module:
        return TargetModule(self, rng)

    def _prepared(self, images: Tensor) -> Tensor:
        channels, height, width = self.image_shape
        if images.dim() != 4 or images.shape[1] not in (1, channels):
            raise BadArgument(
                f"this target takes images (N, {channels}, {height}, {width}), got {tuple(images.shape)}."
            )
        if images.shape[1] != channels:
            images = images.expand(-1, channels, -1, -1)
        if images.shape[2:] != (height, width):
            images = F.interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)
        if self._mean is not None and self._std is not None:
            images = (images - self._mean) / self._std
        return images


@final
class TargetModule(nn.Module):
    """A target as a torch module, for other libraries: (N, K) logits, two at least.

    One logit z becomes (-z / 2, z / 2). An alarm becomes one more class that wins exactly where the image is
    rejected: max(logits) + alarm, after the detector-as-class construction of Carlini & Wagner 2017
    (arXiv 1705.07263, section 2.4).
    """

    def __init__(self, target: Target, rng: SampleRng | None) -> None:
        super().__init__()
        self._target = target
        self._rng = rng
        # Peers look at a parameter or buffer for the device.
        self.register_buffer("_where", torch.zeros(()), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        rng = self._rng
        if rng is not None and len(rng) != len(images):
            # A peer that repeats or drops images has left our samples: it gets one common stream.
            rng = SampleRng.for_samples(rng.global_seed(), "peer", [str(i) for i in range(len(images))])
        outputs = self._target(images, rng)
        logits = outputs.logits
        if logits.shape[1] == 1:
            logits = torch.cat([-logits / 2, logits / 2], dim=1)
        if outputs.alarm is not None:
            rejected = logits.amax(1, keepdim=True) + outputs.alarm[:, None]
            logits = torch.cat([logits, rejected], dim=1)
        return logits


class _Frozen:
    """Eval mode and no parameter gradients while a network is asked; both are put back afterwards."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._training = [m for m in network.modules() if m.training]
        self._learning = [p for p in network.parameters() if p.requires_grad]

    def __enter__(self) -> None:
        for module in self._training:
            module.training = False
        for parameter in self._learning:
            parameter.requires_grad_(False)

    def __exit__(self, *exc: object) -> None:
        for module in self._training:
            module.training = True
        for parameter in self._learning:
            parameter.requires_grad_(True)
