"""The published weights that the platform knows: where they came from is one thing, what they are is this table."""

from collections.abc import Mapping
from typing import NamedTuple

from advgen.core.specs import Scalar

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
FASHION = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GREY, COLOUR = (1, 28, 28), (3, 32, 32)


class Published(NamedTuple):
    """Weights of other people's papers, bit for bit unless their `note` says otherwise."""

    architecture: str
    kwargs: Mapping[str, Scalar]
    data: str  # name of the data set that they were trained on
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    training: str  # standard | adversarial | provable
    trained_eps: str | None  # Linf, as published; None for standard training
    licence: str
    source: str  # public repository and path
    sha256: str  # its first 16 hex digits
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    note: str = ""


_HALF = "rounded to float16 for size"
_WONG = "locuslab/convex_adversarial"
_CROWN = "Verified-Intelligence/alpha-beta-CROWN"

PUBLISHED: Mapping[str, Published] = {
    "mnist_lenet_standard": Published(
        "lenet", {}, "mnist", DIGITS, GREY, "standard", None, "LGPL-3.0",
        "BorealisAI/advertorch advertorch_examples/trained_models/mnist_lenet5_clntrained.pt", "cac147211a5a9f33",
        note=_HALF,
    ),
    "mnist_lenet_advtrained_eps03": Published(
        "lenet", {}, "mnist", DIGITS, GREY, "adversarial", "0.3", "LGPL-3.0",
        "BorealisAI/advertorch advertorch_examples/trained_models/mnist_lenet5_advtrained.pt", "8e757fe9cb670b32",
        note=_HALF,
    ),
    "mnist_small_certified_eps01": Published(
        "small", {}, "mnist", DIGITS, GREY, "provable", "0.1", "MIT",
        f"{_WONG} models/mnist.pth", "a3f730ab1291a5d5",
    ),
    "fashion_small_standard": Published(
        "small", {}, "fashion-mnist", FASHION, GREY, "standard", None, "none stated",
        "ch-yun-01/alpha-beta-crown-fashionmnist fashion_mnist_cnn.pth", "8ce841c96e0297d2",
        mean=(0.2860,), std=(0.3530,),
    ),
    "fashion_small_certified_eps01": Published(
        "small", {}, "fashion-mnist", FASHION, GREY, "provable", "0.1", "MIT",
        f"{_WONG} models/fashion_mnist.pth", "7665f7a1ae64f969",
    ),
    "cifar10_resnet20_standard": Published(
        "resnet20", {}, "cifar10", CIFAR10, COLOUR, "standard", None, "BSD-2-Clause",
        "akamaster/pytorch_resnet_cifar10 pretrained_models/resnet20-12fca82f.th", "02926273efb1dead",
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    ),
    "cifar10_resnet4b_adv": Published(
        "resnet-b", {"planes": 16, "stages": 2}, "cifar10", CIFAR10, COLOUR, "adversarial", "2/255", "BSD-3-Clause",
        f"{_CROWN} complete_verifier/models/cifar10_resnet/resnet4b.pth", "ee8b4298565c1642",
        mean=(0.4914, 0.4822, 0.4465), std=(0.2471, 0.2435, 0.2616),
    ),
    "cifar10_resnet2b_adv": Published(
        "resnet-b", {"planes": 8, "stages": 1}, "cifar10", CIFAR10, COLOUR, "adversarial", "2/255", "BSD-3-Clause",
        f"{_CROWN} complete_verifier/models/cifar10_resnet/resnet2b.pth", "7828015f3676449a",
        mean=(0.4914, 0.4822, 0.4465), std=(0.2471, 0.2435, 0.2616),
    ),
    "cifar10_small_certified_2px": Published(
        "small", {"channels": 3, "size": 32}, "cifar10", CIFAR10, COLOUR, "provable", "2/255", "BSD-3-Clause",
        f"{_CROWN} complete_verifier/models/oval/cifar_wide.pth", "bef26af2994e43b1",
        mean=(0.485, 0.456, 0.406), std=(0.225, 0.225, 0.225),
    ),
    "cifar10_small_certified_8px": Published(
        "small", {"channels": 3, "size": 32}, "cifar10", CIFAR10, COLOUR, "provable", "8/255", "MIT",
        f"{_WONG} models_scaled/cifar_small_8px.pth", "086640e89d5fa089",
        mean=(0.485, 0.456, 0.406), std=(0.225, 0.225, 0.225), note="first of the three stages of a cascade",
    ),
}  # fmt: skip
