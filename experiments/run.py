"""Running a study: its cells in order, here or on any executor of `concurrent.futures`' kind.

A run that was killed at any moment goes on where it stopped, and ends in the same rows.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

from advgen.core.device import Device, choose, set_threads
from advgen.core.errors import BadArgument
from advgen.core.specs import Cell
from advgen.experiments import store_readings
from advgen.experiments.assemble import Assembly
from advgen.experiments.batching import measured_batch_size
from advgen.experiments.cell import run_cell
from advgen.experiments.claims import claims_hash
from advgen.experiments.environment import environment
from advgen.experiments.keys import attack_key, cell_key
from advgen.experiments.measurement import Measurement
from advgen.experiments.measuring import run_measurement
from advgen.experiments.probes import probe
from advgen.experiments.store import Store, remove_unfinished
from advgen.experiments.study import Study
from advgen.experiments.training import trained
from advgen.experiments.yardstick import clusters, yardsticks

BATCH_SIZE = 64
CHUNKS_A_WORKER = 4  # larger chunks load less often, smaller ones end together


class Progress(NamedTuple):
    """Told after every cell."""

    done: int
    total: int
    cell: Cell | Measurement
    was_there: bool


class _Task(NamedTuple):
    """Attack cells that share their images, so that no two workers make the same ones; or one measurement."""

    cells: tuple[tuple[str, str, Cell | Measurement], ...]  # (cell key, attack key or "", cell)


def run(
    study: Study,
    folder: str | Path,
    *,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    only: Callable[[Cell | Measurement], bool] | None = None,
    batch_size: int | None = BATCH_SIZE,
    assembly: Assembly | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Store:
    """Runs what is missing of a study and returns its store.

    With `workers` = 1 and no executor everything happens here; otherwise tasks go to worker processes, or to the
    executor given (a Dask client's, say). An `assembly` holds what a caller already has in memory; it stays here. A
    `batch_size` of None is measured, once: what a run began with is kept. `tell` hears of each cell, `say` of
    each choice that is made for the caller.

    Raises:
        UserError: a name, file or argument of the study that cannot be used; what was finished before is kept.
    """
    where = choose(device) if assembly is None else Device(str(assembly.device), "given by the caller")
    store = Store(folder)
    cells = [c for c in study.cells() if only is None or only(c)]
    measurements = [m for m in study.every_measurement() if only is None or only(m)]
    if not cells and not measurements:
        raise BadArgument(f"the study {study.name!r} has no cell of that kind; leave --only out to see all.")
    say(f"device {where}")
    assembly = Assembly(where, say=say) if assembly is None else assembly
    if batch_size is None:
        known = store.read_json("plan.json")
        batch_size = int(known["batch_size"]) if known else measured_batch_size(cells, assembly, say=say)
    threads = torch.get_num_threads() if workers <= 1 else max(1, torch.get_num_threads() // workers)
    store.begin(
        study,
        plan={"batch_size": batch_size, "threads": threads},
        environment=environment(where),
        hash=claims_hash(study.question, study.claims, study.budgets()),
    )
    run_cells(cells, store, assembly, measurements=measurements, executor=executor, workers=workers, tell=tell, say=say)
    return store


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    assembly: Assembly,
    *,
    measurements: Sequence[Measurement] = (),
    executor: Executor | None = None,
    workers: int = 1,
    tell: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> None:
    """Runs what is missing of these cells and measurements into a store that was begun."""
    remove_unfinished(store.folder)
    store_readings.forget_failures(store)
    where = Device(assembly.device, "chosen by the run")
    ready, lost = trained(measurements, where, store, workers=workers if executor is None else 1, say=say)
    tasks = _tasks(cells, assembly) + [_Task(((key, "", m),)) for key, m in ready]
    total = sum(len(t.cells) for t in tasks)
    store.write_json("cells.json", [*(key for t in tasks for key, _, _ in t.cells), *lost])
    if cells:
        _describe_data(store, cells, assembly)
    done = 0
    plan = store.plan
    if executor is None and workers <= 1:
        for task in tasks:
            for key, shared, cell in task.cells:
                was_there = store.is_done(key)
                if not was_there:
                    _do(cell, key, shared, assembly, store, plan, say)
                done += 1
                tell(Progress(done, total, cell, was_there))
    else:
        for chunk in _elsewhere(tasks, executor, workers, store.folder, str(assembly.device), plan):
            for _, _, cell in (one for task in chunk for one in task.cells):
                done += 1
                tell(Progress(done, total, cell, False))
    # What was done before, or by workers, stands in the cells' own metas.
    store.write_json("stand_ins.json", {**(store.read_json("stand_ins.json") or {}), **assembly.stand_ins})


def _tasks(cells: Sequence[Cell], assembly: Assembly) -> list[_Task]:
    """Cells grouped by their attacked images, in the order of the study."""
    groups: dict[str, list[tuple[str, str, Cell | Measurement]]] = {}
    for cell in cells:
        hashes = assembly.hashes(cell)
        key = cell_key(cell, hashes)
        shared = "" if cell.attack is None else attack_key(cell, hashes)
        groups.setdefault(shared or key, []).append((key, shared, cell))
    return [_Task(tuple(group)) for group in groups.values()]


def _do(
    cell: Cell | Measurement,
    key: str,
    shared: str,
    assembly: Assembly,
    store: Store,
    plan: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    if isinstance(cell, Measurement):
        run_measurement(cell, key, store, Device(assembly.device, "chosen by the run"), say=say)
    else:
        run_cell(cell, key, shared, assembly, store, plan=plan)


def _describe_data(store: Store, cells: Sequence[Cell], assembly: Assembly) -> None:
    """Clusters of samples and yardsticks of each slice, once."""
    groups: dict[str, str] = {}
    measured = store.read_json("yardsticks.json") or {}
    for spec in dict.fromkeys(c.data for c in cells):
        sample = assembly.slice(spec)
        groups |= clusters(sample)
        if str(spec) not in measured:
            measured[str(spec)] = yardsticks(sample, assembly.perceptual(assembly.judge_net(spec)), seed=0)
    store.write_json("clusters.json", groups)
    store.write_json("yardsticks.json", measured)
    store.write_json("probes.json", probe(cells, assembly, store.read_json("probes.json") or {}))


def _elsewhere(
    tasks: Sequence[_Task], executor: Executor | None, workers: int, folder: Path, device: str, plan: dict[str, Any]
) -> Iterator[Sequence[_Task]]:
    """Chunks of tasks as workers finish them; a chunk loads its networks and data once."""
    own = executor is None
    pool = executor or ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    attacks = [t for t in tasks if not isinstance(t.cells[0][2], Measurement)]
    size = max(1, -(-len(attacks) // (workers * CHUNKS_A_WORKER)))
    chunks = [tuple(attacks[begin : begin + size]) for begin in range(0, len(attacks), size)]
    chunks += [(t,) for t in tasks if isinstance(t.cells[0][2], Measurement)]  # each may take hours
    try:
        waiting: dict[Future[None], tuple[_Task, ...]] = {
            pool.submit(_work, chunk, str(folder), device, dict(plan)): chunk for chunk in chunks
        }
        for future in as_completed(waiting):
            future.result()
            yield waiting[future]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        if own:
            pool.shutdown()


def _work(tasks: Sequence[_Task], folder: str, device: str, plan: dict[str, Any]) -> None:
    """Some tasks in a worker process."""
    set_threads(max(1, min(int(plan["threads"]), (os.cpu_count() or 1))))
    store = Store(folder)
    assembly = Assembly(Device(device, "chosen by the run"))
    for key, shared, cell in (one for task in tasks for one in task.cells):
        if not store.is_done(key):
            _do(cell, key, shared, assembly, store, plan, lambda sentence: None)
