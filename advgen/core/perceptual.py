"""Distances between two images: LPIPS made fit for optimisation, the pixel norms of the judge, PSNR and SSIM.

LPIPS (Zhang et al. 2018, arXiv 1801.03924, equation 1), version 0.1: features of a network, divided by their length
over the channels, subtracted, squared, weighted by non-negative linear layers, averaged over space, summed over layers.
Same values as the lpips package; here the originals' features are computed once, and the gradient stays finite where a
feature vector is zero (there the package's square root gives NaN).
PSNR and SSIM: Wang et al. 2004 (doi 10.1109/TIP.2003.819861), 11x11 Gaussian window of 1.5 pixels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.images import check_images
from advgen.core.perceptual_nets import NETS, backbone, renamed

_EPSILON = 1e-10  # added to the length of a feature vector, as in the lpips package


class Chosen(NamedTuple):
    """A backbone and why it was taken."""

    net: str
    reason: str

    def __str__(self) -> str:
        return f"LPIPS net {self.net}: {self.reason}"


@dataclass(frozen=True)
class Reference:
    """Features of N originals, of unit length over the channels: about 0.5 MB an image of 64x64 with squeeze."""

    features: tuple[Tensor, ...]  # each (N, C, h, w)
    net: str
    size: tuple[int, int]  # H, W of the originals

    def __len__(self) -> int:
        return len(self.features[0])

    def take(self, index: Tensor) -> "Reference":
        """Some of the originals; `index` is a bool mask (N,) or positions."""
        return replace(self, features=tuple(feature[index] for feature in self.features))


class LPIPS(nn.Module):
    """The learned perceptual distance of (N, C, H, W) images in [0, 1], C = 1 or 3; 0 is equal, about 1 unrelated.

    net "squeeze", "alex" or "vgg" is the published LPIPS 0.1. net "embedded" is a small network that ships with the
    platform: NOT the published LPIPS, its values cannot be compared with published ones. Never trains, never downloads.

    Raises:
        UnknownName: no such net.
        MissingFile: its weights are not on this machine; says which file to get and where to put it.
    """

    def __init__(self, net: str = "squeeze", *, trained: bool = True) -> None:
        super().__init__()
        if net not in NETS:
            raise UnknownName.among("LPIPS net", net, NETS)
        self.net = net
        self.trained = trained
        self.backbone = backbone(net)
        self.linear = nn.ParameterList(torch.full((width,), 1 / width) for width in NETS[net].channels)
        if trained:
            weights = _weights(net)
            _refuse_other_shapes(net, weights, self.state_dict())
            self.load_state_dict(weights, assign=True)
        else:
            self._draw_parameters()
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)
        self.eval()

    @property
    def definition(self) -> str:
        """What exactly is measured, for tables and cards."""
        if not self.trained:
            return f"untrained network of the architecture {self.net}; not LPIPS"
        measure = "squared differences of unit-length features, mean over space, sum over layers; RGB images in [0, 1]"
        if self.net == "embedded":
            return f"embedded perceptual distance, NOT the published LPIPS: advgen's own small backbone; {measure}"
        return f"LPIPS, net {self.net}, version 0.1 (linear layers of lpips 0.1.4); {measure}"

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode whatever a surrounding module does."""
        del mode
        return super().train(False)

    def reference(self, originals: Tensor) -> Reference:
        """The originals' features, computed once for many calls of `distance_to`; no gradient goes to them.

        Raises:
            BadArgument: not (N, C, H, W) floats in [0, 1], or smaller than the network takes.
        """
        self._check(originals)
        with torch.no_grad():
            features = tuple(_unit(feature) for feature in self._features(originals))
        return Reference(features, self.net, (originals.shape[-2], originals.shape[-1]))

    def distance_to(self, images: Tensor, reference: Reference) -> Tensor:
        """(N,) distances of images to their originals, differentiable in the images.

        Raises:
            BadArgument: another number or size of images than the reference's, or another net's reference.
        """
        _refuse_no_images(images)
        given = (len(images), (images.shape[-2], images.shape[-1]), self.net)
        wanted = (len(reference), reference.size, reference.net)
        if given != wanted:
            raise BadArgument(f"the images are {_told(*given)}, their reference {_told(*wanted)}: they must agree.")
        return self._distance(self._features(images), reference.features)

    def forward(self, images: Tensor, originals: Tensor, *, batch_size: int | None = None) -> Tensor:
        """(N,) distances, differentiable in both; `batch_size` bounds the memory.

        Raises:
            BadArgument: shapes that differ, images outside [0, 1], or smaller than the network takes.
        """
        _refuse_no_images(images)
        if images.shape[:1] + images.shape[2:] != originals.shape[:1] + originals.shape[2:]:
            raise BadArgument(f"images are {tuple(images.shape)}, originals {tuple(originals.shape)}: they must agree.")
        self._check(originals)
        if not len(images):
            return images.sum(dim=(1, 2, 3))
        step = batch_size or len(images)
        parts = [slice(begin, begin + step) for begin in range(0, len(images), step)]
        return torch.cat([self._between(images[part], originals[part]) for part in parts])

    def _between(self, images: Tensor, originals: Tensor) -> Tensor:
        return self._distance(self._features(images), [_unit(feature) for feature in self._features(originals)])

    def _draw_parameters(self) -> None:
        """Gives an untrained torchvision architecture random parameters (the embedded one has them)."""
        for module in self.backbone.modules():
            if isinstance(module, nn.Conv2d) and module.weight.is_meta:
                module.to_empty(device="cpu", recurse=False)
                module.reset_parameters()

    def _features(self, images: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.backbone(images.expand(-1, 3, -1, -1))
        return features

    def _distance(self, features: list[Tensor], references: Iterable[Tensor]) -> Tensor:
        layers = zip(features, references, self.linear, strict=True)
        terms: list[Tensor] = [_LayerDistance.apply(f, r, w) for f, r, w in layers]
        return torch.stack(terms).sum(0)

    def _check(self, originals: Tensor) -> None:
        check_images(originals, "originals")
        least = NETS[self.net].min_side
        if min(originals.shape[-2:]) < least:
            raise BadArgument(
                f"LPIPS net {self.net!r} needs images of at least {least}x{least} pixels, got "
                f"{originals.shape[-1]}x{originals.shape[-2]}; enlarge them, or use net 'embedded' (16 pixels)."
            )


def default_net(min_side: int) -> Chosen:
    """ "squeeze" when its file is found and images of `min_side` pixels are large enough for it, else "embedded"."""
    needed = NETS["squeeze"].min_side
    try:
        path = checkpoints.find(*NETS["squeeze"].files)
    except MissingFile:
        place = checkpoints.data_home() / "weights"
        why = f"{NETS['squeeze'].files[0]} was not found (put it into {place})"
    else:
        if min_side >= needed:
            return Chosen("squeeze", f"found {path}")
        why = f"images of {min_side} pixels are too small for squeeze, which needs {needed}"
    return Chosen("embedded", f"{why}; the distances are NOT the published LPIPS")


def pixel_distances(images_u8: np.ndarray | Tensor, originals_u8: np.ndarray | Tensor) -> dict[str, np.ndarray]:
    """Norms of the change of uint8 (N, C, H, W) images, each float64 (N,), in units of [0, 1].

    linf, l2, l1 over channels and pixels; l0 counts the pixels that changed in any channel.
    """
    images, originals = (np.asarray(x.cpu() if isinstance(x, Tensor) else x) for x in (images_u8, originals_u8))
    if images.dtype != np.uint8 or originals.dtype != np.uint8:
        raise BadArgument(f"pixel distances are taken on uint8 images, got {images.dtype} and {originals.dtype}.")
    if images.shape != originals.shape or images.ndim != 4:
        raise BadArgument(f"images are {images.shape}, originals {originals.shape}; both must be one (N, C, H, W).")
    change = (images.astype(np.float64) - originals.astype(np.float64)) / 255.0
    flat = np.abs(change).reshape(len(change), int(np.prod(change.shape[1:])))
    return {
        "linf": flat.max(axis=1, initial=0.0),
        "l2": np.sqrt(np.square(flat).sum(axis=1)),
        "l1": flat.sum(axis=1),
        "l0": (change != 0).any(axis=1).sum(axis=(1, 2)).astype(np.float64),
    }


def psnr(images: Tensor, originals: Tensor) -> Tensor:
    """(N,) peak signal-to-noise ratio in dB of images in [0, 1]; infinite where they are equal."""
    error = (images.double() - originals.double()).square().flatten(1).mean(1)
    return -10 * error.log10()


def ssim(images: Tensor, originals: Tensor) -> Tensor:
    """(N,) mean structural similarity of (N, C, H, W) images in [0, 1], at least 11x11; 1 is equal. Differentiable.

    Raises:
        BadArgument: images smaller than the window.
    """
    if min(images.shape[-2:]) < 11:
        raise BadArgument(f"SSIM needs images of at least 11x11, got {images.shape[-1]}x{images.shape[-2]}.")
    channels = images.shape[1]
    offsets = torch.arange(-5, 6, dtype=torch.float64, device=images.device)
    bell = torch.exp(-offsets.square() / (2 * 1.5**2))
    bell = (bell / bell.sum()).expand(channels, 1, 1, -1)

    def local_mean(x: Tensor) -> Tensor:
        return functional.conv2d(functional.conv2d(x, bell, groups=channels), bell.transpose(2, 3), groups=channels)

    a, b = images.double(), originals.double()
    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).flatten(1).mean(1)


class _LayerDistance(torch.autograd.Function):
    """One layer's term: mean over space of sum_c w_c (f_c / (|f| + eps) - r_c)^2, its gradient written out.

    f features (N, C, h, w), r unit-length reference, w (C,). Autograd would keep and pass over eight tensors of this
    size; this keeps two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
        # (N, h, w, C), contiguous when the features are channels-last.
        f = features.movedim(1, -1)
        inverse = torch.linalg.vector_norm(f, dim=-1, keepdim=True).add_(_EPSILON).reciprocal_()
        # Rounded as the reference was, so that equal images are at exactly 0.
        change = (f * inverse).sub_(reference.movedim(1, -1))
        ctx.save_for_backward(f, inverse, change, weight)
        term: Tensor = (change.square() @ weight).mean((1, 2))
        return term

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        f, inverse, change, weight = ctx.saved_tensors
        to_features, to_reference, to_weight = ctx.needs_input_grad
        share = (gradient / (f.shape[1] * f.shape[2])).reshape(-1, 1, 1, 1)
        on_weight = (change.square() * share).sum((0, 1, 2)) if to_weight else None
        pull = change * weight
        on_reference = (pull * (-2 * share)).movedim(-1, 1) if to_reference else None
        if not to_features:
            return None, on_reference, on_weight
        # u = f / (n + eps): du = df / (n + eps) - f (f . df) / (n (n + eps)^2); where n = 0, f is 0 too.
        length = (1 / inverse - _EPSILON).clamp_(min=1e-30)
        turn = (pull * f).sum(-1, keepdim=True) * inverse.square() / length
        on_features = pull.mul_(2 * share * inverse).addcmul_(f, turn * share, value=-2)
        return on_features.movedim(-1, 1), on_reference, on_weight


def _refuse_no_images(images: Tensor) -> None:
    """By shape alone: a generator's images may leave [0, 1] on the way."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise BadArgument(f"images must have the shape (N, C, H, W) with C = 1 or 3, got {tuple(images.shape)}.")


def _unit(feature: Tensor) -> Tensor:
    # vector_norm's gradient at zero is zero, that of a square root is not a number.
    inverse: Tensor = (torch.linalg.vector_norm(feature, dim=1, keepdim=True) + _EPSILON).reciprocal()
    return feature * inverse


def _weights(net: str) -> dict[str, Tensor]:
    """Everything an LPIPS holds, by the names of its parameters, float32."""
    files = NETS[net].files
    if net == "embedded":
        remedy = "It ships with advgen: reinstall it, or train it with the recipe perceptual_embedded."
        tensors = checkpoints.load(checkpoints.find(*files, remedy=remedy)).tensors
        if any((tensor < 0).any() for name, tensor in tensors.items() if name.startswith("linear.")):
            raise BadFile(f"{files[0]} has negative linear weights: a distance needs non-negative ones.")
        return {name: tensor.float() for name, tensor in tensors.items()}
    place = checkpoints.data_home() / "weights"
    path = checkpoints.find(*files, remedy=f"Get {NETS[net].url}{files[0]} and put it into {place}.")
    trunk = renamed(net, checkpoints.torch_weights(path))
    lin = checkpoints.torch_weights(checkpoints.lpips_linear_layers(net))
    return {f"backbone.{name}": tensor for name, tensor in trunk.items()} | {
        f"linear.{k}": lin[f"lin{k}.model.1.weight"].flatten() for k in range(len(NETS[net].channels))
    }


def _refuse_other_shapes(net: str, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name in sorted(weights.keys() | wanted.keys()):
        found, expected = (tuple(x[name].shape) if name in x else "nothing" for x in (weights, wanted))
        if found != expected:
            raise BadFile(f"the weight file does not fit net {net!r}: {name} is {found}, expected {expected}.")


def _told(count: int, size: tuple[int, int], net: str) -> str:
    return f"{count} of {size[1]}x{size[0]} pixels (net {net})"
