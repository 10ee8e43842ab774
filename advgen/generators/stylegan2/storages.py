"""Tensors of a file before they are made: which storage, which part of it; checked against what is really there."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from advgen.core.errors import BadFile

MAX_DIMENSIONS = 16

DTYPES: dict[str, torch.dtype] = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.storage.UntypedStorage": torch.uint8,
}
NUMPY_DTYPES: dict[str, torch.dtype] = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}


class Storage:
    """`count` numbers of one type somewhere in the file; read when first used."""

    def __init__(self, dtype: torch.dtype, count: int, data: memoryview | Callable[[], bytes] | None = None) -> None:
        self.dtype = dtype
        self.count = count
        self.data = data  # None until the part of the file behind the pickle has been reached
        self._whole: Tensor | None = None

    def whole(self) -> Tensor:
        """All its numbers (count,), copied once."""
        if self._whole is None:
            if self.data is None:
                raise BadFile("holds a tensor whose numbers are missing")
            data = self.data() if callable(self.data) else self.data
            if len(data) != self.count * self.dtype.itemsize:
                raise BadFile(f"claims {self.count} numbers where it holds {len(data) // self.dtype.itemsize}")
            self._whole = torch.frombuffer(bytearray(data), dtype=self.dtype) if self.count else torch.empty(0)
        return self._whole


class TensorRef:
    """A tensor that has not been made yet."""

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.stride = stride

    @staticmethod
    def checked(storage: Storage, offset: Any, shape: Any, stride: Any) -> "TensorRef":
        """Only what lies inside the storage, and no number of it many times over.

        Raises:
            BadFile: it claims more than its storage holds.
        """
        if type(shape) is not tuple or type(stride) is not tuple or not len(shape) == len(stride) <= MAX_DIMENSIONS:
            raise BadFile("holds a tensor without a proper shape")
        for value in (offset, *shape, *stride):
            if type(value) is not int or not 0 <= value < 2**62:
                raise BadFile("holds a tensor whose shape is no row of numbers")
        numel = prod(shape)
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride)) if numel else 0
        if numel > storage.count or last >= max(storage.count, 1):
            raise BadFile(
                f"claims a tensor of {numel if numel < 2**62 else 'more than 2^62'} numbers over a storage of "
                f"{storage.count}"
            )
        return TensorRef(storage, offset, shape, stride)

    @property
    def numel(self) -> int:
        return prod(self.shape)

    def tensor(self) -> Tensor:
        """A contiguous copy, on the CPU, in the type of the file."""
        if not self.numel:
            return torch.empty(self.shape, dtype=self.storage.dtype)
        view = self.storage.whole().as_strided(self.shape, self.stride, self.offset)
        return view.clone(memory_format=torch.contiguous_format)


def row_major(shape: Any) -> tuple[int, ...]:
    """The strides of a contiguous array."""
    if type(shape) is not tuple or any(type(n) is not int or not 0 <= n < 2**62 for n in shape):
        raise BadFile("holds an array whose shape is no row of numbers")
    if len(shape) > MAX_DIMENSIONS:
        raise BadFile(f"holds an array of {len(shape)} dimensions")
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))
