"""How often words stand near each other: X_ij = the sum of 1/d over pairs at most `window` words apart.

Sums are kept as whole multiples of 1/lcm(1..window), so they are exact, whatever the order and the memory. Pairs of
frequent words are counted in a table, the others in a buffer that is sorted and spilled to disk when full; the sorted
runs are merged a range of rows at a time.
"""

from math import lcm
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from advgen.core.errors import BadArgument
from advgen.embeddings.vocabulary import BREAK

WIDEST = 20  # lcm(1..20) = 232,792,560: sums of up to 4e10 fit into 64 bits
_ENTRY = 16  # bytes of a key and its sum


class Cells(NamedTuple):
    """The cells of X that are not zero; symmetric ones stand once, with row <= column.

    A word beside itself counts twice in a symmetric table, once for each of the two directions.
    """

    rows: NDArray[np.int32]  # mapped files, as are the others
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    words: int
    symmetric: bool
    runs: int  # sorted runs that were merged

    @property
    def entries(self) -> int:
        """Cells of the whole table, both halves."""
        diagonal = int(np.count_nonzero(self.rows == self.columns)) if self.symmetric else 0
        return 2 * len(self.rows) - diagonal if self.symmetric else len(self.rows)


class _Run(NamedTuple):
    keys: NDArray[np.uint64]  # row * words + column, rising
    sums: NDArray[np.int64]


def count_pairs(
    ids: NDArray[np.int32],
    words: int,
    folder: Path,
    *,
    window: int = 10,
    symmetric: bool = True,
    memory_bytes: int = 1 << 30,
) -> Cells:
    """Counts the pairs of a corpus of ids; working arrays take about `memory_bytes`, the result lies in `folder`.

    Where not `symmetric`, the row is the left word of a pair and the column the right one.

    Raises:
        BadArgument: a window outside 1..20, or a corpus without pairs.
    """
    if not 1 <= window <= WIDEST:
        raise BadArgument(f"the window must be from 1 to {WIDEST} words, got {window}.")
    unit = lcm(*range(1, window + 1))
    shares = np.array([0, *(unit // d for d in range(1, window + 1))], dtype=np.int64)
    frequent = min(words, int((memory_bytes / 4 / 8) ** 0.5))
    table = np.zeros((frequent, frequent), dtype=np.int64)
    # What a corpus can hold at most is enough, however much memory is allowed.
    buffer = np.empty(max(min(memory_bytes * 3 // 8 // _ENTRY, len(ids) * window), 4 * window), dtype=np.uint64)
    runs: list[_Run] = []
    position = filled = 0
    while position < len(ids):
        position, filled = _collect(ids, position, words, window, symmetric, shares, table, buffer)
        if filled:
            runs.append(_spilled(buffer[:filled], window, shares, folder, len(runs), last=position >= len(ids)))
    room = max(memory_bytes * 3 // 8 // (6 * _ENTRY), 1 << 10)
    del buffer
    cells = _merged(runs, table, words, folder, unit, symmetric, room)
    if not len(cells.rows):
        raise BadArgument("no two words of the vocabulary stand in one sentence: the corpus is too small for GloVe.")
    return cells


@njit(cache=True, nogil=True)
def _collect(ids, position, words, window, symmetric, shares, table, buffer):  # type: ignore[no-untyped-def]
    """Goes on from `position` until the corpus ends or the buffer may overflow; distance - 1 is the lowest digit."""
    filled = 0
    frequent = table.shape[0]
    while position < ids.size and filled + window <= buffer.size:
        right = ids[position]
        if right != BREAK:
            for distance in range(1, window + 1):
                before = position - distance
                if before < 0 or ids[before] == BREAK:
                    break
                row, column = ids[before], right
                if symmetric and row > column:
                    row, column = column, row
                if row < frequent and column < frequent:
                    table[row, column] += shares[distance]
                else:
                    key = np.uint64(row) * np.uint64(words) + np.uint64(column)
                    buffer[filled] = key * np.uint64(window) + np.uint64(distance - 1)
                    filled += 1
        position += 1
    return position, filled


def _spilled(
    buffer: NDArray[np.uint64], window: int, shares: NDArray[np.int64], folder: Path, number: int, *, last: bool
) -> _Run:
    buffer.sort()
    sums = np.empty(len(buffer), dtype=np.int64)
    size = _reduced_digits(buffer, sums, window, shares)
    if last and number == 0:
        return _Run(buffer[:size], sums[:size])
    keys_file, sums_file = folder / f"run-{number:05d}.keys", folder / f"run-{number:05d}.sums"
    buffer[:size].tofile(keys_file)
    sums[:size].tofile(sums_file)
    return _Run(np.memmap(keys_file, dtype=np.uint64, mode="r"), np.memmap(sums_file, dtype=np.int64, mode="r"))


@njit(cache=True, nogil=True)
def _reduced_digits(buffer, sums, window, shares):  # type: ignore[no-untyped-def]
    """Sorted keys with a distance each become, in place, keys with a sum each; returns how many."""
    size = 0
    for k in range(buffer.size):
        key = buffer[k] // np.uint64(window)
        share = shares[np.int64(buffer[k] - key * np.uint64(window)) + 1]
        if size and buffer[size - 1] == key:
            sums[size - 1] += share
        else:
            buffer[size] = key
            sums[size] = share
            size += 1
    return size


@njit(cache=True, nogil=True)
def _reduced(keys, sums):  # type: ignore[no-untyped-def]
    """Sorted keys with equal ones added together, in place; returns how many are left."""
    size = 0
    for k in range(keys.size):
        if size and keys[size - 1] == keys[k]:
            sums[size - 1] += sums[k]
        else:
            keys[size], sums[size] = keys[k], sums[k]
            size += 1
    return size


def _merged(
    runs: list[_Run], table: NDArray[np.int64], words: int, folder: Path, unit: int, symmetric: bool, room: int
) -> Cells:
    """Adds the runs and the table, as many rows at a time as have `room` entries in all."""
    frequent = len(table)
    edges = np.arange(words + 1, dtype=np.uint64) * np.uint64(words)
    borders = [np.searchsorted(run.keys, edges) for run in runs]
    per_row = np.zeros(words, dtype=np.int64)
    per_row[:frequent] = np.count_nonzero(table, axis=1)
    for border in borders:
        per_row += np.diff(border)
    paths = [folder / f"cells.{name}" for name in ("rows", "columns", "values")]
    with paths[0].open("wb") as rows, paths[1].open("wb") as columns, paths[2].open("wb") as values:
        for first, end in _ranges(per_row, room):
            inside = table[first : min(end, frequent)]
            at = np.nonzero(inside)
            keys = [((at[0] + first) * words + at[1]).astype(np.uint64)]
            sums = [inside[at]]
            for run, border in zip(runs, borders):
                keys.append(run.keys[border[first] : border[end]])
                sums.append(run.sums[border[first] : border[end]])
            key, total = np.concatenate(keys), np.concatenate(sums)
            order = np.argsort(key)
            key, total = key[order], total[order]
            size = _reduced(key, total)
            row, column = np.divmod(key[:size].astype(np.int64), words)
            value = total[:size] / unit
            if symmetric:
                value[row == column] *= 2
            row.astype(np.int32).tofile(rows)
            column.astype(np.int32).tofile(columns)
            value.astype(np.float32).tofile(values)
    for file in folder.glob("run-*"):
        file.unlink()
    if not paths[0].stat().st_size:
        empty = np.empty(0, np.int32)
        return Cells(empty, empty, np.empty(0, np.float32), words, symmetric, len(runs))
    mapped = [np.memmap(p, dtype=t, mode="r") for p, t in zip(paths, (np.int32, np.int32, np.float32))]
    return Cells(mapped[0], mapped[1], mapped[2], words, symmetric, len(runs))


def _ranges(per_row: NDArray[np.int64], room: int) -> list[tuple[int, int]]:
    """Rows cut into ranges of at most `room` entries; a row that is larger stands alone."""
    ranges, first, entries = [], 0, 0
    for row, n in enumerate(per_row.tolist()):
        if entries and entries + n > room:
            ranges.append((first, row))
            first, entries = row, 0
        entries += n
    return [*ranges, (first, len(per_row))]
