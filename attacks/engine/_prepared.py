"""A target made ready for a search: BatchNorm folded into convolutions, channels-last; on request bfloat16, compiled.

The copy is for the search alone; verdicts are the raw target's. A target that is no plain network of ours (a defended
pipeline, a random one, a network that torch.fx cannot trace) keeps the parts that cannot be prepared as they are.
"""

import copy
import warnings
from typing import Literal, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from advgen.core.device import check_compiler
from advgen.core.targets import ModuleTarget
from advgen.core.types import Target

Fast = Literal["no", "float32", "bfloat16", "compiled", "compiled-bfloat16"]

_compiled: "WeakKeyDictionary[nn.Module, dict[str, tuple[tuple[int, ...], nn.Module]]]" = WeakKeyDictionary()


def prepare(target: Target, fast: Fast) -> Target:
    """`target` for a search that is `fast`: "no" = itself, as is every target that is not one network.

    A compiled copy is float32 unless it says otherwise. Compiling takes up to a minute, once a network and process:
    it pays for thousands of images.

    Raises:
        BadArgument: compiled for a CPU without a C++ compiler.
    """
    if fast == "no" or not isinstance(target, ModuleTarget) or target.stochastic or not target.differentiable:
        return target
    network = _compiled_copy(target.network, fast) if fast.startswith("compiled") else _copy(target.network, fast)
    return ModuleTarget(
        network,
        target.classes,
        target.image_shape,
        decision=target.decision,
        mean=target.mean,
        std=target.std,
    )


def _copy(network: nn.Module, fast: Fast) -> nn.Module:
    quick = folded(network).to(memory_format=torch.channels_last).requires_grad_(False)
    if not fast.endswith("bfloat16"):
        return _Reader(quick, torch.float32)
    return _Reader(_in_bfloat16(quick), torch.bfloat16)


def _compiled_copy(network: nn.Module, fast: Fast) -> nn.Module:
    """The copy that was compiled for these weights before, or a new one."""
    held = [*network.parameters(), *network.buffers()]
    weights = tuple(number for tensor in held for number in (id(tensor), tensor._version))
    copies = _compiled.setdefault(network, {})
    if fast not in copies or copies[fast][0] != weights:
        check_compiler(held[0].device if held else torch.device("cpu"), "the target")
        reader = _copy(network, fast)
        # A traced network has code of its own, and torch.compile counts and limits what it compiles by code.
        reader.network.compile()
        copies[fast] = (weights, reader)
    return copies[fast][1]


def folded(network: nn.Module) -> nn.Module:
    """A copy in eval mode in which each BatchNorm that follows a convolution is part of it, and ReLUs are in place.

    A network whose forward cannot be traced is copied as it is, and said to be: what is returned computes the same in
    any case, only slower.
    """
    plain = copy.deepcopy(network).eval()
    try:
        traced = fx.symbolic_trace(plain)
    except Exception as error:
        # Control flow that hangs on values: the many reasons that tracing may fail for are not worth telling apart.
        warnings.warn(
            f"{type(network).__name__} cannot be traced ({type(error).__name__}), so that its BatchNorm is not folded "
            "into convolutions; the search goes through it as it is.",
            stacklevel=2,
        )
        return plain
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        (before,) = node.all_input_nodes
        if before.op != "call_module" or not isinstance(modules[before.target], nn.Conv2d) or len(before.users) > 1:
            continue
        joined = fuse_conv_bn_eval(modules[before.target], modules[node.target])
        modules[before.target] = joined
        traced.set_submodule(str(before.target), joined)
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _in_bfloat16(network: nn.Module) -> nn.Module:
    """All but a last linear layer in bfloat16: logits of 8 bits would hide what a search gains in small steps."""
    name = _last_linear(network)
    layer = copy.deepcopy(network.get_submodule(name)) if name else None
    network = network.to(torch.bfloat16)
    if layer is not None:
        network.set_submodule(name, nn.Sequential(_Float32(), layer))
    return network


def _last_linear(network: nn.Module) -> str:
    """The name of the linear layer that gives the logits of a traced network, or nothing."""
    if not isinstance(network, fx.GraphModule):
        return ""
    (output,) = (n for n in network.graph.nodes if n.op == "output")
    last = output.args[0]
    if not isinstance(last, fx.Node) or last.op != "call_module":
        return ""
    name = str(last.target)
    return name if isinstance(network.get_submodule(name), nn.Linear) else ""


@final
class _Float32(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.to(torch.float32)


@final
class _Reader(nn.Module):
    """Images to channels-last in the network's precision, and its logits back to float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        seen = images.to(self.dtype, memory_format=torch.channels_last)
        logits: Tensor = self.network(seen)
        return logits.to(torch.float32)
