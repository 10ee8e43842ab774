"""advgen: multimodal adversarial robustness, judged on saved bytes."""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "evaluate"]


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        from advgen.experiments.evaluate import evaluate

        return evaluate
    raise AttributeError(f"module 'advgen' has no attribute {name!r}")
