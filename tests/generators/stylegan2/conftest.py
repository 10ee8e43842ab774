"""Little networks, and the files that other programs would write of them."""

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from advgen.generators.stylegan2 import (
    DiscriminatorConfig,
    GeneratorConfig,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    widths,
)

WIDTHS = widths(16, channel_base=64, channel_max=8)


@pytest.fixture
def little() -> Callable[..., tuple[StyleGAN2Generator, StyleGAN2Discriminator]]:
    """A generator and a discriminator at 16 pixels with something in every tensor."""

    def make(seed: int = 0, *, c_dim: int = 0, conv_clamp: float | None = None) -> Any:
        torch.manual_seed(seed)
        config = GeneratorConfig(16, WIDTHS, z_dim=6, w_dim=6, c_dim=c_dim, mapping_layers=2, conv_clamp=conv_clamp)
        judge = DiscriminatorConfig(
            16, WIDTHS, c_dim=c_dim, cmap_dim=8 if c_dim else 0, mapping_layers=2 if c_dim else 0, conv_clamp=conv_clamp
        )
        nets = StyleGAN2Generator(config).eval(), StyleGAN2Discriminator(judge).eval()
        for net in nets:
            for name, tensor in net.state_dict().items():
                if name.endswith(("bias", "noise_strength", "w_avg")):
                    tensor.add_(torch.randn_like(tensor) * 0.3)
        return nets

    return make


class Persistent:
    """Pickles as the official program's modules do: a call of its own, with the source text among the arguments."""

    def __init__(self, name: str, state: dict[str, Any]) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit",
            "class_name": name,
            "state": state,
        }

    def __reduce__(self) -> Any:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,), None


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """The bytes of an official pickle of the given networks."""

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("the file was executed")

    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", package)
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)

    def write(networks: dict[str, nn.Module], *, frozen: bool = False, half: bool = False, **others: Any) -> bytes:
        stored = {
            name: as_stored(net, name, frozen=frozen and name == "D", half=half) for name, net in networks.items()
        }
        return pickle.dumps({"training_set_kwargs": {"path": "x"}, **stored, "augment_pipe": None, **others})

    return write


def as_stored(
    module: nn.Module,
    name: str,
    *,
    frozen: bool,
    half: bool,
    fir: torch.Tensor | None = None,
    clamp: float | None = None,
) -> Persistent:
    """`fir` is the filter of the block that a layer stands in, `clamp` the network's; not every layer has them."""
    clamp = getattr(getattr(module, "config", None), "conv_clamp", clamp)
    parameters = {k: p.half() if half else p for k, p in module._parameters.items() if p is not None}
    for key, parameter in parameters.items():
        if parameter.ndim == 4:
            parameters[key] = nn.Parameter(parameter.detach().to(memory_format=torch.channels_last))
    buffers = dict(module._buffers)
    if frozen:
        buffers |= {k: p.detach() for k, p in parameters.items()}
        parameters = {}
    extra: dict[str, Any] = {"weight_gain": np.float64(0.5), "seen": {1, 2}, "_init_kwargs": {"a": 1}}
    if type(module).__name__ in ("Conv", "SynthesisLayer"):
        resamples = fir is not None and name in ("skip", "conv0" if type(module).__name__ != "Conv" else "conv1")
        default = torch.tensor([[a * b / 64 for a in (1, 3, 3, 1)] for b in (1, 3, 3, 1)])
        buffers["resample_filter"] = fir if resamples else default
    if type(module).__name__ in ("Conv", "SynthesisLayer", "ToRGB"):
        extra["conv_clamp"] = None if name in ("skip", "last fromrgb") else clamp
    own = module._buffers.get("resample_filter")
    children = OrderedDict(
        (k, as_stored(m, f"last {k}" if name == "b4" else k, frozen=frozen, half=half, fir=own, clamp=clamp))
        for k, m in module._modules.items()
    )
    state = {"_parameters": OrderedDict(parameters), "_buffers": OrderedDict(buffers), "_modules": children, **extra}
    return Persistent("Generator" if name.startswith("G") else name, state)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Bytes into a file."""

    def to_file(data: bytes, name: str = "net.pkl") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return to_file
