"""Small vectors, and a small CLIP of random weights in open_clip's own files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advgen.embeddings.vectors import Vectors

# Falling frequency, as files of vectors list them.
WORDS = (
    "the", "of", "a", "person", "with", "and", "hair", "red", "black", "old", "young", "smiling", "glasses", "round",
    "hat", "man", "woman", "face", "don't", "il-6",
)  # fmt: skip
CONFIG: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 48, "patch_size": 8, "width": 48, "layers": 2, "head_width": 24},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.45, 0.4, 0.35], "std": [0.25, 0.2, 0.3]}


@pytest.fixture(scope="session")
def vectors() -> Vectors:
    rng = np.random.default_rng(0)
    counts = (10_000 / np.arange(1, len(WORDS) + 1)).astype(np.int64)
    return Vectors(WORDS, rng.normal(size=(len(WORDS), 12)).astype(np.float32), counts)


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "config.json"
    path.write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    return path


@pytest.fixture(scope="session")
def network() -> torch.nn.Module:
    """open_clip's own class, weights drawn a little larger, so that features of pictures differ as trained ones do."""
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(**CONFIG).eval()
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(1.25)
    return network.requires_grad_(False)


@pytest.fixture(scope="session")
def weights(network: torch.nn.Module, config_file: Path) -> Path:
    from safetensors.torch import save_file

    path = config_file.with_name("small.safetensors")
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, path)
    return path
