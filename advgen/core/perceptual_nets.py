"""The networks whose features LPIPS compares: torchvision's SqueezeNet, AlexNet and VGG-16, and our own small one.

Squeeze, alex and vgg are the backbones of Zhang et al. 2018 (arXiv 1801.03924), tapped where the lpips package taps
them. "embedded" is a small network of ours that ships with the platform; it is NOT a published LPIPS backbone.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Net(NamedTuple):
    """What is fixed about a backbone."""

    channels: tuple[int, ...]  # of the tapped features, first layer first
    min_side: int  # pixels; the least height and width that leave every feature map a pixel
    files: tuple[str, ...]  # names under which its weights are known, the one to get first
    url: str = ""  # where the first of them is published


_TORCHVISION = "https://download.pytorch.org/models/"
NETS: Mapping[str, Net] = {
    "squeeze": Net(
        (64, 128, 256, 384, 384, 512, 512),
        17,
        ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1-rebuilt.pth", "squeezenet1_1-f364aa15.pth"),
        _TORCHVISION,
    ),
    "alex": Net((64, 192, 384, 256, 256), 31, ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"), _TORCHVISION),
    "vgg": Net((64, 128, 256, 512, 512), 16, ("vgg16-397923af.pth",), _TORCHVISION),
    "embedded": Net((16, 32, 48, 64, 96), 16, ("perceptual_embedded.safetensors",)),
}
# Positions in torchvision's `features` after which a feature map is tapped (end, exclusive).
_TAPS = {"squeeze": (2, 5, 8, 10, 11, 12, 13), "alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}


class Backbone(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to the features of every tapped layer, each (N, C, h, w)."""

    def __init__(self, stages: Sequence[nn.Module], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        # (x - mean) / std as one multiplication and addition.
        gain = 1 / torch.tensor(std, dtype=torch.float64).reshape(1, -1, 1, 1)
        offset = -torch.tensor(mean, dtype=torch.float64).reshape(1, -1, 1, 1) * gain
        self.register_buffer("gain", gain.float(), persistent=False)
        self.register_buffer("offset", offset.float(), persistent=False)
        self.gain: Tensor
        self.offset: Tensor

    def forward(self, images: Tensor) -> list[Tensor]:
        current = torch.addcmul(self.offset, images, self.gain)
        # Sums over channels and 1x1 convolutions read memory in order this way.
        current = current.contiguous(memory_format=torch.channels_last)
        features = []
        for stage in self.stages:
            current = stage(current)
            features.append(current)
        return features


def backbone(net: str) -> Backbone:
    """The architecture of a backbone, its parameters not yet set (embedded: as drawn by torch's global stream)."""
    if net == "embedded":
        return Backbone(_embedded_stages(), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    with torch.device("meta"):
        layers = list(_torchvision_features(net))
    begins = (0, *_TAPS[net][:-1])
    stages = [nn.Sequential(*layers[begin:end]) for begin, end in zip(begins, _TAPS[net], strict=True)]
    # The lpips package scales [-1, 1] by these; halved and moved they apply to [0, 1].
    shift, scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
    mean = [(1 + value) / 2 for value in shift]
    return Backbone(stages, mean=mean, std=[value / 2 for value in scale])


def renamed(net: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's tensors (`features.3.squeeze.weight`) under the names of our stages; its classifier left out."""
    begins = (0, *_TAPS[net][:-1])
    named = {}
    for name, tensor in weights.items():
        family, _, rest = name.partition(".")
        if family != "features":
            continue
        place, _, rest = rest.partition(".")
        stage = next((k for k, end in enumerate(_TAPS[net]) if int(place) < end), None)
        if stage is not None:
            named[f"stages.{stage}.{int(place) - begins[stage]}.{rest}"] = tensor.float()
    return named


def _torchvision_features(net: str) -> nn.Sequential:
    from torchvision import models

    network = {"squeeze": models.squeezenet1_1, "alex": models.alexnet, "vgg": models.vgg16}[net](weights=None)
    features = network.features
    assert isinstance(features, nn.Sequential)
    return features


def _embedded_stages() -> list[nn.Module]:
    """Five scales, two 3x3 convolutions each, halved by averaging: smooth under shifts, and no batch statistics."""
    stages: list[nn.Module] = []
    before = 3
    for width in NETS["embedded"].channels:
        halving = [nn.AvgPool2d(2)] if stages else []
        stages.append(
            nn.Sequential(
                *halving,
                nn.Conv2d(before, width, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(inplace=True),
            )
        )
        before = width
    for module in nn.Sequential(*stages).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return stages
