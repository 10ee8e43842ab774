"""What a plug-in gives in another process, with other hashes of strings: `python -m advgen.contracts.elsewhere`.

One process serves any number of plug-ins, as starting torch takes seconds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from advgen.contracts import toys
from advgen.contracts.subjects import attempt, built, usual_scene, variants
from advgen.core.registry import load_file
from advgen.core.rng import SampleRng

SECONDS = 300  # then the other process has hung


def address_of(cls: type[Any]) -> str:
    """`file.py:Class`, by which another process finds the class again; empty where there is no file."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return f"{Path(file).resolve()}:{cls.__qualname__}" if file and "<" not in cls.__qualname__ else ""


def digest_of(cls: type[Any]) -> str:
    """A hash of what the plug-in gives on toys, to the last bit."""
    torch.set_num_threads(1)
    if hasattr(cls, "run"):
        results = [attempt(v.build(), usual_scene(v)).images for v in variants(cls)]
    else:
        placed = toys.boundary_images(toys.linear(), "Linf", 4)
        rng = SampleRng.for_samples(0, "defense", placed.ids)
        defense = built(cls)
        if hasattr(cls, "purify"):
            results = [defense.purify(placed.images, rng)]
        else:
            results = [defense.fit(placed.images, rng=rng).score(placed.images, rng)]
    digest = blake2b(digest_size=16)
    for result in results:
        digest.update(result.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def digests(addresses: Sequence[str]) -> Mapping[str, str]:
    """`digest_of` each, computed in one other process; what failed there is a sentence in place of a digest."""
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [sys.executable, "-m", "advgen.contracts.elsewhere", *addresses],
        capture_output=True,
        text=True,
        env=environment,
        timeout=SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        last = (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return dict.fromkeys(addresses, f"the other process ended with {finished.returncode}: {last}")
    found: dict[str, str] = json.loads(finished.stdout.splitlines()[-1])
    return found


def _found_again(address: str) -> str:
    file, _, name = address.rpartition(":")
    try:
        return digest_of(getattr(load_file(Path(file)), name))
    except Exception as error:
        return f"raised {type(error).__name__} there: {error}"


if __name__ == "__main__":
    print(json.dumps({address: _found_again(address) for address in sys.argv[1:]}))
