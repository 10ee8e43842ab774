"""A small study that runs in a second: digits, a linear network of known weights, PGD and JPEG."""

from pathlib import Path
from typing import Any

import pytest

NETWORK = '''
"""A network with fixed weights: class templates of the digits, slightly blurred by their own size."""

import torch
from torch import nn

BRIGHT = 0.345  # one of them, and those that an attack makes as bright


def build():
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), nn.Tanh(), nn.Linear(16, 10))
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 8
    network.classes = tuple("0123456789")
    network.image_shape = (1, 32, 32)
    return network


def failing():
    """The same, but it raises on the brightest few of the first 24 digits."""

    class Failing(nn.Module):
        classes = tuple("0123456789")
        image_shape = (1, 32, 32)

        def __init__(self):
            super().__init__()
            self.inside = build()

        def forward(self, images):
            if bool((images.mean((1, 2, 3)) > BRIGHT).any()):
                raise RuntimeError("this image is refused")
            return self.inside(images)

    return Failing()
'''


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_network.py"
    path.write_text(NETWORK)
    return path


@pytest.fixture
def small_study(network_file: Path) -> dict[str, Any]:
    """Six cells and two controls on 24 digits."""
    return {
        "name": "small",
        "question": "Does JPEG stop PGD?",
        "grids": [
            {
                "data": [{"name": "digits", "count": 24}],
                "targets": [f"{network_file}:build"],
                "attacks": [{"name": "image/pgd", "args": {"steps": 4}}],
                "budgets": [{"name": "Linf", "radius": "16/255"}],
                "defenses": ["none", "purify/jpeg"],
                "knowledge": ["oblivious", "adaptive"],
            }
        ],
    }
