"""What every test shares: one thread, caches of their own, and the place of real data."""

import os
import tempfile
from pathlib import Path

import pytest

# Kept between sessions, as what is in it is named by its content; nothing of the user's is read or written.
HOME = Path(tempfile.gettempdir()) / f"advgen-tests-{os.getuid()}"

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["XDG_CACHE_HOME"] = str(HOME)
os.environ["TORCH_HOME"] = str(HOME / "torch")
os.environ.pop("ADVGEN_DATA", None)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """With two threads a forked child hangs in its first forward; and `-n 2` has two processes."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, text and weights beside the checkout; absent on most machines."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data folder beside the checkout (../shared/data)")
    return folder
