"""What a run was made with: versions, commit, machine. It explains differences and is in no key."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import advgen
from advgen.core.device import Device

PACKAGES = (
    "advgen", "torch", "torchvision", "numpy", "scipy", "numba", "lpips", "torchattacks",
    "adversarial-robustness-toolbox", "open_clip_torch", "gensim", "safetensors", "pillow", "pyarrow", "pandas",
)  # fmt: skip


def environment(device: Device) -> dict[str, Any]:
    """Versions, commit, machine and time, all as text."""
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device.device,
        "device_reason": device.reason,
        "commit": _commit(),
        "command": shlex.join(["advgen", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the source tree, with + where it was changed; empty for an installed package."""
    source = Path(advgen.__file__).resolve().parents[1]
    if not (source / ".git").exists():
        return ""
    try:
        head = _git(source, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(source, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
