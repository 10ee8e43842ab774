"""Random numbers that belong to a sample: one stream each, from (seed, purpose, sample id).

So a sample's draws do not depend on its batch, its cell or the order of work, and two cells share random numbers
wherever they ask for the same ones: differences between them are paired.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def stream_seed(seed: int, purpose: str, sample_id: str) -> int:
    """A 63-bit seed for the stream of one sample."""
    text = f"{seed}\x1f{purpose}\x1f{sample_id}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little") & (2**63 - 1)


class SampleRng:
    """One CPU generator a sample. Purposes: attack, defense, judge/k, train; `fork` gives purpose/sub."""

    def __init__(self, seed: int, purpose: str, ids: Sequence[str], generators: Sequence[torch.Generator]) -> None:
        self.seed = seed
        self.purpose = purpose
        self.ids = tuple(ids)
        self._generators = tuple(generators)

    @staticmethod
    def for_samples(seed: int, purpose: str, ids: Sequence[str]) -> "SampleRng":
        generators = []
        for sample_id in ids:
            generator = torch.Generator()
            generator.manual_seed(stream_seed(seed, purpose, sample_id))
            generators.append(generator)
        return SampleRng(seed, purpose, ids, generators)

    def __len__(self) -> int:
        return len(self.ids)

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 (N, *shape), uniform on [low, high)."""
        return self._each(lambda g: torch.rand(tuple(shape), generator=g)) * (high - low) + low

    def normal(self, shape: Sequence[int]) -> Tensor:
        """float32 (N, *shape), standard normal."""
        return self._each(lambda g: torch.randn(tuple(shape), generator=g))

    def integers(self, low: int, high: int, shape: Sequence[int] = ()) -> Tensor:
        """int64 (N, *shape), uniform on low .. high - 1."""
        return self._each(lambda g: torch.randint(low, high, tuple(shape), generator=g))

    def permutation(self, n: int) -> Tensor:
        """int64 (N, n), a random order of 0 .. n - 1 for each sample."""
        return self._each(lambda g: torch.randperm(n, generator=g))

    def take(self, index: Tensor) -> "SampleRng":
        """The streams of some samples, their state carried on."""
        keep = _positions(index, len(self.ids))
        return SampleRng(self.seed, self.purpose, [self.ids[i] for i in keep], [self._generators[i] for i in keep])

    def fork(self, purpose: str) -> "SampleRng":
        """Fresh streams for a sub-purpose; the state of this one is untouched."""
        return SampleRng.for_samples(self.seed, f"{self.purpose}/{purpose}", self.ids)

    def global_seed(self) -> int:
        """One seed for a peer that knows no other; depends on the batch, so its user waives batch invariance."""
        return stream_seed(self.seed, self.purpose, "\x1e".join(self.ids)) % 2**31

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        if not self._generators:
            return draw(torch.Generator()).unsqueeze(0)[:0]
        return torch.stack([draw(g) for g in self._generators])


def _positions(index: Tensor, n: int) -> list[int]:
    if index.dtype == torch.bool:
        assert len(index) == n, f"a mask of {len(index)} for {n} samples"
        return [int(i) for i in index.nonzero()[:, 0]]
    return [int(i) for i in index]
