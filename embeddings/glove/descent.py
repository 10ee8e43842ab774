"""Weighted least squares by AdaGrad: equation 8 of the paper, J = sum f(X_ij) (w_i . c_j + b_i + d_j - ln X_ij)^2.

Words are dealt into blocks; a cell lies in the block of its row and that of its column. Cells of blocks that share no
row block and no column block touch no common number, so threads take them at the same time without a race, and the
result does not depend on how many threads there are (as in Gemulla et al. 2011, "Large-scale matrix factorization with
distributed stochastic gradient descent"). The order of cells is drawn from the seed.

As in the reference program: accumulators start at 1, they add up the squares of rate times gradient, and the gradient
is that of J / 2, its components clipped at 100.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from advgen.core.errors import BadArgument
from advgen.embeddings.glove.cooccurrence import Cells

BLOCKS = 16  # the most threads that can work at a time
ALPHA = 0.75
CLIP = 100.0
_PIECE = 1 << 18  # cells at a time: their numbers and masks stay below what counting takes

Floats = NDArray[np.float32]


class Parameters(NamedTuple):
    """What is learned and, beside each, the sum of squares that AdaGrad divides by."""

    rows: Floats  # (V, D) the paper's w
    columns: Floats  # (V, D) the paper's w~
    row_bias: Floats  # (V,)
    column_bias: Floats  # (V,)
    rows_squares: Floats
    columns_squares: Floats
    row_bias_squares: Floats
    column_bias_squares: Floats


class Arranged(NamedTuple):
    """Cells by block, in random order inside a block; symmetric ones in both directions."""

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    logs: Floats  # ln X
    weights: Floats  # f(X)
    borders: NDArray[np.int64]  # (BLOCKS ** 2 + 1,)


def start(words: int, dim: int, seed: int) -> Parameters:
    """Uniform in +-0.5 / dim, biases too; accumulators 1."""
    rng = np.random.default_rng([seed, 0])
    shapes = [(words, dim), (words, dim), (words,), (words,)]
    drawn = [((rng.random(shape, dtype=np.float32) - np.float32(0.5)) / np.float32(dim)) for shape in shapes]
    return Parameters(*drawn, *(np.ones(shape, dtype=np.float32) for shape in shapes))


def weight(values: Floats, x_max: float) -> Floats:
    """The paper's f: (x / x_max)^0.75, at most 1."""
    return np.minimum(1.0, (values / x_max) ** ALPHA).astype(np.float32)


def arrange(cells: Cells, folder: Path, *, x_max: float, seed: int) -> Arranged:
    """Deals the cells into blocks and shuffles each, in mapped files in `folder`."""
    sizes = np.zeros(BLOCKS**2, dtype=np.int64)
    for piece in _pieces(cells):
        sizes += np.bincount(_block(piece.rows, piece.columns), minlength=BLOCKS**2)
        if cells.symmetric:
            mirrored = piece.rows != piece.columns
            sizes += np.bincount(_block(piece.columns[mirrored], piece.rows[mirrored]), minlength=BLOCKS**2)
    borders = np.concatenate([[0], np.cumsum(sizes)])
    total = int(borders[-1])
    names = (("rows", np.int32), ("columns", np.int32), ("logs", np.float32), ("weights", np.float32))
    rows, columns, logs, weights = (
        np.memmap(folder / f"arranged.{name}", dtype=dtype, mode="w+", shape=(total,)) for name, dtype in names
    )
    heads = borders[:-1].copy()
    for piece in _pieces(cells):
        _deal(piece.rows, piece.columns, piece.values, cells.symmetric, rows, columns, logs, heads, BLOCKS)
    for block in range(BLOCKS**2):
        here = slice(borders[block], borders[block + 1])
        order = np.random.default_rng([seed, 1, block]).permutation(here.stop - here.start)
        values = logs[here][order]
        rows[here], columns[here] = rows[here][order], columns[here][order]
        logs[here], weights[here] = np.log(values), weight(values, x_max)
    return Arranged(rows, columns, logs, weights, borders)


def epoch(
    arranged: Arranged, parameters: Parameters, number: int, *, seed: int, rate: float, threads: int, program_bias: bool
) -> float:
    """One pass over all cells; returns the mean of f (...)^2 over the cells, each measured before its own step.

    Raises:
        BadArgument: the loss is no longer finite.
    """
    shifts = np.random.default_rng([seed, 2, number]).permutation(BLOCKS)
    clip, bias_rate = np.float32(CLIP), np.float32(1.0 if program_bias else rate)
    bias_clip = np.float32(3e38 if program_bias else CLIP)

    def descend(block: int) -> float:
        here = slice(arranged.borders[block], arranged.borders[block + 1])
        cells = (arranged.rows[here], arranged.columns[here], arranged.logs[here], arranged.weights[here])
        loss: float = _descend(*cells, *parameters, np.float32(rate), clip, bias_rate, bias_clip)
        return loss

    total = 0.0
    with ThreadPoolExecutor(min(threads, BLOCKS)) as pool:
        for shift in shifts.tolist():
            # A diagonal of the grid of blocks: no two of them share rows or columns.
            total += sum(pool.map(descend, [row * BLOCKS + (row + shift) % BLOCKS for row in range(BLOCKS)]))
    mean = total / len(arranged.rows)
    if not np.isfinite(mean):
        raise BadArgument(f"the loss of epoch {number + 1} is {mean}: the rate {rate} is too high; lower it.")
    return mean


def train(
    arranged: Arranged,
    parameters: Parameters,
    *,
    epochs: int,
    first: int = 0,
    seed: int,
    rate: float,
    threads: int,
    program_bias: bool,
    done: Callable[[int, float], None],
) -> None:
    """Epochs `first` to `epochs`, in place; `done` is told the number of finished epochs and the loss."""
    for number in range(first, epochs):
        loss = epoch(arranged, parameters, number, seed=seed, rate=rate, threads=threads, program_bias=program_bias)
        done(number + 1, loss)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _descend(  # type: ignore[no-untyped-def]
    rows,
    columns,
    logs,
    weights,
    w,
    c,
    b,
    d,
    w_squares,
    c_squares,
    b_squares,
    d_squares,
    rate,
    clip,
    bias_rate,
    bias_clip,
):  # fmt: skip
    loss = 0.0
    dim = w.shape[1]
    for k in range(rows.size):
        i, j = rows[k], columns[k]
        wi, cj, wi_squares, cj_squares = w[i], c[j], w_squares[i], c_squares[j]
        product = np.float32(0.0)
        for m in range(dim):
            product += wi[m] * cj[m]
        difference = product + b[i] + d[j] - logs[k]
        pull = weights[k] * difference
        loss += pull * difference
        for m in range(dim):
            wi_step = rate * min(max(pull * cj[m], -clip), clip)
            cj_step = rate * min(max(pull * wi[m], -clip), clip)
            wi[m] -= wi_step / np.sqrt(wi_squares[m])
            cj[m] -= cj_step / np.sqrt(cj_squares[m])
            wi_squares[m] += wi_step * wi_step
            cj_squares[m] += cj_step * cj_step
        bias_step = bias_rate * min(max(pull, -bias_clip), bias_clip)
        b[i] -= bias_step / np.sqrt(b_squares[i])
        d[j] -= bias_step / np.sqrt(d_squares[j])
        b_squares[i] += bias_step * bias_step
        d_squares[j] += bias_step * bias_step
    return loss


@njit(cache=True, nogil=True)
def _deal(cell_rows, cell_columns, values, symmetric, rows, columns, logs, heads, blocks):  # type: ignore[no-untyped-def]
    for k in range(cell_rows.size):
        i, j = cell_rows[k], cell_columns[k]
        for _ in range(2 if symmetric and i != j else 1):
            block = (i % blocks) * blocks + j % blocks
            at = heads[block]
            rows[at], columns[at], logs[at] = i, j, values[k]
            heads[block] += 1
            i, j = j, i


def _block(rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.int64]:
    return (rows % BLOCKS).astype(np.int64) * BLOCKS + columns % BLOCKS


def _pieces(cells: Cells) -> list[Cells]:
    ends = range(0, len(cells.rows), _PIECE)
    return [
        cells._replace(
            rows=cells.rows[a : a + _PIECE], columns=cells.columns[a : a + _PIECE], values=cells.values[a : a + _PIECE]
        )
        for a in ends
    ]
