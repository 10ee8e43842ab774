"""Training what the measurements of a study read, before any of them: a file's hash is part of a measurement's key.

A training that fails costs its own measurements only; the same command tries it again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from advgen.core.device import Device, set_threads
from advgen.core.errors import AdvgenError, UserError
from advgen.experiments import store_readings
from advgen.experiments.keys import measurement_key
from advgen.experiments.measurement import Measurement
from advgen.experiments.measuring import key_of, references
from advgen.experiments.store import Store
from advgen.experiments.trained import PREFIX, checkpoint_of, is_trained

Say = Callable[[str], None]


def trained(
    measurements: Sequence[Measurement], device: Device, store: Store, *, workers: int = 1, say: Say
) -> tuple[list[tuple[str, Measurement]], list[str]]:
    """Measurements that can be run, with their keys; and the keys under which the others are told as failed.

    Raises:
        UserError: none can be, and the first says why; or an argument of a measure that cannot be used.
    """
    missing = [ref for ref in recipes(measurements) if not is_trained(ref)]
    failed = _train_all(missing, device, workers, say) if missing else {}
    ready: list[tuple[str, Measurement]] = []
    lost: list[tuple[str, Measurement, str]] = []
    for m in measurements:
        reason = next((failed[ref] for ref in references(m).values() if ref in failed), None)
        if reason is None:
            ready.append((key_of(m, device, say=say), m))
        else:
            lost.append((measurement_key(m, {"trained": ""}), m, reason))
    if lost and not ready:
        raise UserError(lost[0][2])
    for key, m, reason in lost:
        store_readings.fail(store, key, m, f"it was not trained: {reason}", "")
    return ready, [key for key, _, _ in lost]


def recipes(measurements: Sequence[Measurement]) -> list[str]:
    """The recipes whose checkpoints these measurements read, each once."""
    return list(dict.fromkeys(ref for m in measurements for ref in references(m).values()))


def _train_all(missing: Sequence[str], device: Device, workers: int, say: Say) -> dict[str, str]:
    """Trains in turn, or in worker processes; the sentences of those that failed."""
    together = workers > 1 and len(missing) > 1
    how = f", {workers} at a time" if together else ""
    say(f"training {len(missing)} checkpoints that the study reads{how}; they are kept.")
    if not together:
        told = {ref: _train(ref, str(device.device), say=say) for ref in missing}
    else:
        threads = max(1, torch.get_num_threads() // workers)
        train = partial(_train, device=str(device.device), threads=threads)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            told = dict(zip(missing, pool.map(train, missing), strict=True))
    failed = {ref: reason for ref, reason in told.items() if reason is not None}
    for ref, reason in failed.items():
        say(f"the training of {ref.removeprefix(PREFIX)} failed: {reason}")
    return failed


def _train(ref: str, device: str, threads: int | None = None, say: Say | None = None) -> str | None:
    """Trains one checkpoint; why not, where it failed."""
    if threads is not None:
        set_threads(threads)
    try:
        checkpoint_of(ref, device=device, **({} if say is None else {"say": say}))
    except AdvgenError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    return None
