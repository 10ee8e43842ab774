"""Where the work runs: decided once, by the caller, with a reason that can be printed."""

import os
import re
import shutil
import warnings
from typing import NamedTuple

import torch

from advgen.core.errors import BadArgument

COMPILERS = ("g++", "c++", "clang++")


class Device(NamedTuple):
    """A device and why it was taken."""

    device: torch.device
    reason: str  # "no CUDA device is visible", "asked for", …

    def __str__(self) -> str:
        return f"{self.device}: {self.reason}"


def choose(device: str | None = None) -> Device:
    """The device to work on: "cpu", "cuda", "cuda:1" or "mps" as asked; None or "auto" takes CUDA where there is one.

    Raises:
        BadArgument: no such kind of device, or it is not there.
    """
    asked = (device or "auto").strip().lower()
    if asked == "auto":
        return _best()
    if asked == "cpu":
        return Device(torch.device("cpu"), "asked for")
    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise BadArgument("device 'mps' was asked for, but this machine or torch build has no Metal; use cpu.")
        return Device(torch.device("mps"), "asked for")
    match = re.fullmatch(r"cuda(?::(\d+))?", asked)
    if match is None:
        raise BadArgument(f"unknown device {device!r}: give cpu, cuda, cuda:N, mps or auto.")
    absent = _why_no_cuda()
    if absent:
        raise BadArgument(f"device {asked!r} was asked for, but {absent}; use cpu, or auto to take what there is.")
    number, count = int(match.group(1) or 0), torch.cuda.device_count()
    if number >= count:
        raise BadArgument(f"device {asked!r} was asked for, but the last CUDA device here is cuda:{count - 1}.")
    return Device(torch.device("cuda", number), f"{_cuda_name(number)}, asked for")


def check_compiler(device: torch.device, what: str) -> None:
    """torch.compile on a CPU needs a C++ compiler; `what` is to be compiled.

    Raises:
        BadArgument: there is none.
    """
    names = (os.environ.get("CXX"), *COMPILERS)
    if device.type == "cpu" and not any(shutil.which(name) for name in names if name):
        raise BadArgument(
            f"compiling {what} for a CPU needs a C++ compiler, and none of {', '.join(COMPILERS)} was found; leave it "
            "out, or install one."
        )


def cores() -> int:
    """CPU cores this process may use (a scheduler may give it fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int | None = None) -> int:
    """Sets and returns torch's threads: `count`, else OMP_NUM_THREADS, else every core this process may use.

    Raises:
        BadArgument: fewer than one thread.
    """
    if count is None:
        written = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        count = int(written) if written.isdecimal() and int(written) > 0 else cores()
    if count < 1:
        raise BadArgument(f"threads must be at least 1, got {count}.")
    torch.set_num_threads(count)
    return count


def _best() -> Device:
    absent = _why_no_cuda()
    if absent:
        return Device(torch.device("cpu"), absent)
    return Device(torch.device("cuda", 0), f"{_cuda_name(0)}, the first of {torch.cuda.device_count()} CUDA device(s)")


def _why_no_cuda() -> str:
    """One clause saying why CUDA cannot be used; empty when it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch build is for CPUs only"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    # An old driver is told as a warning; its first sentence is the reason that helps.
    told = " ".join(str(caught[0].message).split()).split(". ")[0] if caught else ""
    return "no CUDA device is visible" + (f" ({told})" if told else "")


def _cuda_name(number: int) -> str:
    properties = torch.cuda.get_device_properties(number)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
