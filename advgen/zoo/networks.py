"""Networks by name: those of the published weights, and the small ones that the recipes train.

A network is described by (architecture, keyword arguments), so that a card can build it again:
`build("small", channels=1)`. Networks take images (N, C, H, W) and return logits (N, K), an autoencoder images. The
normalisation that a network was trained with stands outside of it (`Normalised`), so that pixels stay in [0, 1].

`small`, `lenet`, `resnet20` and `resnet-b` have the state keys of the published files: convex_adversarial (Wong and
Kolter 2018, arXiv 1711.00851), advertorch (arXiv 1902.07623), He et al. 2016 (arXiv 1512.03385, section 4.2) and the
`cifar10_resnet` benchmark of VNN-COMP 2021 (arXiv 2109.00498).
"""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument, UnknownName
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.zoo.judges import PortraitResNet
from advgen.zoo.matchers import FaceCNN, FaceMixer


def small(channels: int = 1, size: int = 28, classes: int = 10) -> nn.Sequential:
    """SMALL: two strided convolutions and two linear layers, with nothing but ReLU between (so CROWN bounds it)."""
    side = _halved(_halved(size))
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * side * side, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )


@final
class LeNet(nn.Module):
    """LENET: two convolutions with max-pooling and two linear layers, 28x28 grey."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.linear1 = nn.Linear(64 * 7 * 7, 200)
        self.linear2 = nn.Linear(200, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


class _ResNet20Block(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.new_channels = width - channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.new_channels:
            half = self.new_channels // 2
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


@final
class ResNet20(nn.Module):
    """RESNET20: three stages of three blocks with parameter-free shortcuts (option A of the paper), 32x32 RGB."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16)
        self.layer2 = self._stage(16, 32)
        self.layer3 = self._stage(32, 64)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(channels: int, width: int) -> nn.Sequential:
        first = _ResNet20Block(channels, width, stride=1 if channels == width else 2)
        return nn.Sequential(first, _ResNet20Block(width, width, 1), _ResNet20Block(width, width, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class _ResNetBBlock(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        same = stride == 1 and channels == width
        self.shortcut = nn.Sequential() if same else nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


@final
class ResNetB(nn.Module):
    """RESNET-B: one or two stages of two blocks without batch norm, 32x32 RGB."""

    def __init__(self, planes: int = 8, stages: int = 1, classes: int = 10) -> None:
        super().__init__()
        width = 2 * planes
        self.conv1 = nn.Conv2d(3, planes, 3, stride=2, padding=1)
        self.stages = stages
        for stage in range(1, stages + 1):
            blocks = (_ResNetBBlock(planes if stage == 1 else width, width, 2), _ResNetBBlock(width, width, 1))
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        side = 16 // 2**stages
        self.linear1 = nn.Linear(width * side * side, 100)
        self.linear2 = nn.Linear(100, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.conv1(images))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


@final
class SmallCNN(nn.Module):
    """Classifier for avatars and digits: five convolutions with batch norm, a 4x4 grid of features, one linear layer.

    The first stride brings any size to about 32x32, so cost hardly grows with it. The grid is kept, not averaged away,
    because a person is told by where things stand in the face.

    channels, size: of the images (size in pixels, at least 16). width: channels of the first layer.
    """

    def __init__(self, channels: int, classes: int, size: int = 32, width: int = 16) -> None:
        super().__init__()
        if size < 16:
            raise BadArgument(f"size must be at least 16 pixels for small-cnn, got {size}.")
        self.features, features = _trunk(channels, size, width)
        self.linear = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.features(images).flatten(1))


@final
class AttributeCNN(nn.Module):
    """Multi-label network: logit k > 0 says that attribute k is present (decision "sign").

    The trunk of `SmallCNN`, shared by all attributes, and a hidden layer. channels, size, width: as `SmallCNN`.
    """

    def __init__(self, channels: int, attributes: int, size: int = 32, width: int = 16, hidden: int = 64) -> None:
        super().__init__()
        if size < 16:
            raise BadArgument(f"size must be at least 16 pixels for attribute-cnn, got {size}.")
        self.features, features = _trunk(channels, size, width)
        self.hidden = nn.Linear(features, hidden)
        self.linear = nn.Linear(hidden, attributes)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(F.relu(self.hidden(self.features(images).flatten(1))))


@final
class DenoisingAutoencoder(nn.Module):
    """Images to images through a small inner picture, without any skip past it: MagNet's reformer, made cheap.

    All layers but the first and the last work at 1/scale of the size, so a gradient through the autoencoder costs
    about as much as one through `SmallCNN`. There is no residual connection: what leaves is drawn from the code alone
    (Meng and Chen 2017, arXiv 1705.09064). The sigmoid at the end keeps images in [0, 1] with a gradient everywhere,
    where a clamp would cut it off for black and white pixels and make an attack look weaker than it is.

    channels: of the images, whose sides must be divisible by `scale`. width: channels inside. scale: 2 or 4.
    depth: convolutions at the small size. code: channels of the narrowest layer, None = width. start: grey value in
    (0, 1) that an untrained network gives, about; None = 0.5. Where most pixels are black, a network that starts at
    0.5 first pushes its last bias down until the sigmoid passes no gradient, and stays there.
    """

    def __init__(
        self,
        channels: int,
        width: int = 32,
        scale: int = 2,
        depth: int = 2,
        code: int | None = None,
        start: float | None = None,
    ) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise BadArgument(f"scale must be 2 or 4, got {scale}.")
        if depth < 1:
            raise BadArgument(f"depth must be at least 1, got {depth}.")
        self.scale = scale
        code = width if code is None else code
        layers: list[tuple[str, nn.Module]] = [
            ("down", nn.Conv2d(channels, width, 2 * scale, stride=scale, padding=scale // 2)),
            ("down_relu", nn.ReLU()),
            ("code", nn.Conv2d(width, code, 3, padding=1)),
            ("code_relu", nn.ReLU()),
        ]
        inner = code
        for k in range(1, depth + 1):
            layers += [(f"conv{k}", nn.Conv2d(inner, width, 3, padding=1)), (f"relu{k}", nn.ReLU())]
            inner = width
        layers += [
            ("up", nn.Conv2d(width, channels * scale * scale, 3, padding=1)),
            ("shuffle", nn.PixelShuffle(scale)),
        ]
        self.layers = nn.Sequential(OrderedDict(layers))
        if start is not None:
            last = self.layers.get_submodule("up").bias
            assert isinstance(last, nn.Parameter)
            nn.init.constant_(last, math.log(start / (1 - start)))

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % self.scale or width % self.scale:
            raise BadArgument(f"the autoencoder needs sides divisible by {self.scale}, got {height}x{width} images.")
        return torch.sigmoid(self.layers(images))


@final
class Normalised(nn.Module):
    """A network with (x - mean) / std before it, so that it takes pixels in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "small": small,
    "lenet": LeNet,
    "resnet20": ResNet20,
    "resnet-b": ResNetB,
    "small-cnn": SmallCNN,
    "attribute-cnn": AttributeCNN,
    "denoising-autoencoder": DenoisingAutoencoder,
    "latent-encoder": LatentEncoder,
    "portrait-resnet": PortraitResNet,
    "face-cnn": FaceCNN,
    "face-mixer": FaceMixer,
}


def build(architecture: str, **kwargs: object) -> nn.Module:
    """A fresh network by name, with random weights.

    Raises:
        UnknownName: no such architecture, or it has no such argument.
        BadArgument: an argument is missing or out of range.
    """
    if architecture not in ARCHITECTURES:
        raise UnknownName.among("architecture", architecture, ARCHITECTURES)
    make = ARCHITECTURES[architecture]
    parameters = inspect.signature(make).parameters
    for name in kwargs:
        if name not in parameters:
            raise UnknownName.among(f"argument of architecture {architecture}", name, parameters)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in kwargs:
            raise BadArgument(f"architecture {architecture!r} needs the argument {name!r}.")
    return make(**kwargs)


def _halved(side: int) -> int:
    return (side - 2) // 2 + 1  # a convolution with kernel 4, stride 2, padding 1


def _trunk(channels: int, size: int, width: int) -> tuple[nn.Sequential, int]:
    first_stride = max(1, size // 32)
    side = -(-size // first_stride)
    layers: list[nn.Module] = []
    before = channels
    for after, stride in (
        (width, first_stride),
        (2 * width, 2),
        (2 * width, 1),
        (4 * width, 2),
        (4 * width, 1),
    ):
        layers += [
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        before = after
    side = -(-side // 4)  # two more convolutions of stride 2
    pool = max(1, side // 4)
    layers.append(nn.AvgPool2d(pool))
    return nn.Sequential(*layers), before * (side // pool) ** 2
