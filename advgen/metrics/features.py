"""Feature networks: what the metrics of sets compare images by (Inception, squeeze, embedded, or any module).

`inception` is the published one, Inception-v3 of 2015-12-05 as torch-fidelity runs it: images enlarged to 299 pixels by
TensorFlow 1's bilinear filter, (x - 128) / 128, 2,048 numbers from the last average pooling, logits without bias.
The others stand in for it, and their numbers cannot be compared with published ones:
`squeeze` is SqueezeNet 1.1 (ImageNet), block fire8, 512 numbers, images whose shorter side is under 64 pixels enlarged
to 64; logits from its own classifier.
`embedded` ships with the platform: all five layers of its perceptual network, 256 numbers, images under 32 pixels
enlarged to 32; no logits.
In both, each pixel's vector is divided by its root mean square over the channels, as LPIPS divides by the length (no
layer drowns the others, and KID's kernel meets numbers of about 1), then averaged over space.
Nothing is downloaded. Images are uint8; grey ones are repeated to three channels.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, MissingFile, UnknownName
from advgen.core.files import sha256
from advgen.core.perceptual import LPIPS
from advgen.core.perceptual_nets import NETS

PUBLISHED = "published Inception-v3 features"
INCEPTION_FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
NAMES = ("auto", "inception", "squeeze", "embedded")
_FIRE8 = 5  # of the backbone's stages

Network = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # uint8 (N, C, H, W) to (N, D) and logits (N, K) or None


@dataclass(frozen=True)
class Features:
    """A feature network with all that a table must say of it."""

    name: str
    hash: str  # first 16 hexadecimal digits: SHA-256 of the weight file, or BLAKE2 of a module's parameters
    definition: str  # layer, pooling, resizing
    stands_in_for: str | None  # None for the published network; else such use raises warning 16
    network: Network
    device: str = "cpu"

    def of(self, images_u8: Tensor, *, batch_size: int = 64) -> Tensor:
        """Features (N, D), float32 on the CPU, of uint8 images (N, C, H, W).

        Raises:
            BadArgument: not uint8 images, none of them, or a feature that is not finite.
        """
        return self.with_logits(images_u8, batch_size=batch_size)[0]

    @torch.no_grad()
    def with_logits(self, images_u8: Tensor, *, batch_size: int = 64) -> tuple[Tensor, Tensor | None]:
        """Features (N, D) and logits (N, K), None where the network has none; see `of`."""
        _check(images_u8)
        features, logits = [], []
        # A GPU would round convolutions to ten bits, which moves FID in its third digit.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for batch in images_u8.split(batch_size):
                here, classes = self.network(batch.to(self.device))
                features.append(here.float().cpu())
                if classes is not None:
                    logits.append(classes.float().cpu())
        joined = torch.cat(features)
        if not joined.isfinite().all():
            raise BadArgument(f"the feature network {self.name} gives values that are not finite for these images.")
        return joined, torch.cat(logits) if logits else None


def load(name: str = "auto", *, device: str = "cpu") -> Features:
    """A feature network by name; "auto" is inception when its file is found, else embedded.

    Raises:
        UnknownName: no such network.
        MissingFile: its weights are not on this machine; says which file to get and where to put it.
    """
    if name not in NAMES:
        raise UnknownName.among("feature network", name, NAMES)
    if name == "auto":
        try:
            checkpoints.find(*INCEPTION_FILES)
        except MissingFile:
            name = "embedded"
        else:
            name = "inception"
    return {"inception": _inception, "squeeze": _squeeze, "embedded": _embedded}[name](device)


def resolved(features: Features | str) -> Features:
    """The feature network itself, or the one of that name."""
    return load(features) if isinstance(features, str) else features


def from_module(
    module: nn.Module,
    name: str,
    *,
    layer: str | None = None,
    stands_in_for: str | None = PUBLISHED,
    device: str = "cpu",
) -> Features:
    """Any network of (N, C, H, W) images in [0, 1], run in eval mode and left in the mode it was in.

    Without `layer` its output (N, D) is the features, and there are no logits. With the name of a submodule (as
    `named_modules` gives it) that one's output is the features, averaged over space where it is (N, D, h, w), and the
    network's own output is the logits.

    Raises:
        UnknownName: the network has no submodule of that name.
    """
    modules = dict(module.named_modules())
    if layer is not None and layer not in modules:
        raise UnknownName.among(f"layer of {name}", layer, [key for key in modules if key])
    module = module.to(device)

    def network(images_u8: Tensor) -> tuple[Tensor, Tensor | None]:
        tapped: list[Tensor] = []
        hook = modules[layer].register_forward_hook(lambda _m, _i, output: tapped.append(output)) if layer else None
        training = [part for part in modules.values() if part.training]
        module.eval()
        try:
            output = module(images_u8.float() / 255)
        finally:
            for part in training:
                part.training = True
            if hook is not None:
                hook.remove()
        if layer is None:
            return _one_row_each(output, name), None
        if not tapped:
            raise BadArgument(f"the layer {layer!r} of {name} did not run on these images.")
        return _one_row_each(tapped[-1], name), output.flatten(1)

    definition = f"{name}: {layer or 'output'}, averaged over space; images in [0, 1] at their own size"
    return Features(name, _digest(module), definition, stands_in_for, network, device)


def _inception(device: str) -> Features:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    place = checkpoints.data_home() / "weights"
    remedy = f"Get {INCEPTION_URL}{INCEPTION_FILES[0]} and put it into {place}."
    path = checkpoints.find(*INCEPTION_FILES, remedy=remedy)
    # torch-fidelity would unpickle the file without restriction: it gets a copy written by us from the tensors alone.
    safe = io.BytesIO()
    torch.save(checkpoints.torch_weights(path), safe)
    safe.seek(0)
    layers = ["2048", "logits_unbiased"]
    extractor = FeatureExtractorInceptionV3("inception", layers, feature_extractor_weights_path=safe).to(device)

    def network(images_u8: Tensor) -> tuple[Tensor, Tensor | None]:
        features, logits = extractor(images_u8.expand(-1, 3, -1, -1))
        return features, logits

    definition = "Inception-v3 2015-12-05 of torch-fidelity: pool 2048; bilinear to 299 as TensorFlow 1"
    return Features("inception", sha256(path)[:16], definition, None, network, device)


def _squeeze(device: str) -> Features:
    net = LPIPS("squeeze").to(device)
    path = checkpoints.find(*NETS["squeeze"].files)
    weights = checkpoints.torch_weights(path)
    kernel = weights["classifier.1.weight"].float().to(device)
    bias = weights["classifier.1.bias"].float().to(device)

    def network(images_u8: Tensor) -> tuple[Tensor, Tensor | None]:
        maps = net.backbone(_enlarged(images_u8, 64))
        logits = functional.conv2d(maps[-1], kernel, bias).relu().mean((2, 3))
        return _pooled(maps[_FIRE8]), logits

    definition = "SqueezeNet 1.1: fire8, unit mean square, mean over space; shorter side at least 64 pixels (bilinear)"
    return Features("squeeze", sha256(path)[:16], definition, PUBLISHED, network, device)


def _embedded(device: str) -> Features:
    net = LPIPS("embedded").to(device)

    def network(images_u8: Tensor) -> tuple[Tensor, Tensor | None]:
        return torch.cat([_pooled(maps) for maps in net.backbone(_enlarged(images_u8, 32))], dim=1), None

    definition = "perceptual_embedded: five layers, unit mean square, mean over space; at least 32 pixels (bilinear)"
    path = checkpoints.find(*NETS["embedded"].files)
    return Features("embedded", sha256(path)[:16], definition, PUBLISHED, network, device)


def _pooled(maps: Tensor) -> Tensor:
    """(N, C) from feature maps (N, C, h, w)."""
    return functional.normalize(maps, dim=1, eps=1e-10).mean((2, 3)) * math.sqrt(maps.shape[1])


def _enlarged(images_u8: Tensor, least: int) -> Tensor:
    """(N, 3, H, W) in [0, 1], the shorter side at least `least` pixels."""
    images = images_u8.float() / 255
    height, width = images.shape[-2:]
    if min(height, width) < least:
        scale = least / min(height, width)
        size = (round(height * scale), round(width * scale))
        images = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
    return images.expand(-1, 3, -1, -1)


def fingerprints(images_u8: Tensor) -> list[bytes]:
    """Sixteen bytes an image, equal where all of its bytes are."""
    return [blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest() for image in images_u8.cpu()]


def _one_row_each(output: Tensor, name: str) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise BadArgument(f"the feature network {name} must give a tensor (N, D) or (N, D, h, w).")
    return output.mean((2, 3)) if output.ndim == 4 else output.flatten(1)


def _check(images_u8: Tensor) -> None:
    if not isinstance(images_u8, Tensor) or images_u8.dtype != torch.uint8 or images_u8.ndim != 4:
        told = (
            f"{images_u8.dtype} {tuple(images_u8.shape)}" if isinstance(images_u8, Tensor) else type(images_u8).__name__
        )
        raise BadArgument(
            f"sets are compared as uint8 images (N, C, H, W), got {told}; core.images.to_uint8 turns [0, 1] into bytes."
        )
    if not len(images_u8):
        raise BadArgument("a set of no images has no features.")
    if images_u8.shape[1] not in (1, 3):
        raise BadArgument(f"images must have 1 or 3 channels, got {images_u8.shape[1]}.")


def _digest(module: nn.Module) -> str:
    digest = blake2b(digest_size=8)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
