"""Running a study: cells in order, each in parts, on any executor of `concurrent.futures`' kind.

Whoever has read `run_cell` knows the platform: data -> parts -> what the attacker sees -> attack -> bytes -> judge ->
rows. Everything is keyed by (cell key, sample id), so a run that was killed goes on where it stopped.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advgen.core import images as pictures
from advgen.core.device import Device, choose, set_threads
from advgen.core.errors import BadArgument, UserError
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import Cell, Row
from advgen.core.types import AttackResult, Defended, Slice
from advgen.experiments.assemble import Assembly, Joined
from advgen.experiments.claims import claims_hash
from advgen.experiments.environment import environment
from advgen.experiments.judge import judge, succeeds
from advgen.experiments.keys import attack_key, cell_key
from advgen.experiments.knowledge import seen_by_attacker
from advgen.experiments.probes import probe
from advgen.experiments.store import Attacked, Store, remove_unfinished
from advgen.experiments.study import Study
from advgen.experiments.yardstick import clusters, yardsticks

BATCH_SIZE = 64
COSTS = ("forwards", "backwards", "generator_calls", "seconds", "peak_bytes")


class Progress(NamedTuple):
    """Told after every cell."""

    done: int
    total: int
    cell: Cell
    was_there: bool


class _Task(NamedTuple):
    """Cells that share their attacked images, so that no two workers make the same ones."""

    cells: tuple[tuple[str, str, Cell], ...]  # (cell key, attack key or "", cell)


def run(
    study: Study,
    folder: str | Path,
    *,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    only: Callable[[Cell], bool] | None = None,
    batch_size: int = BATCH_SIZE,
    assembly: Assembly | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Store:
    """Runs what is missing of a study and returns its store.

    With `workers` = 1 and no executor everything happens here; otherwise tasks go to worker processes, or to the
    executor given (a Dask client's, say). An `assembly` holds what a caller already has in memory; it stays here.

    Raises:
        UserError: a name, file or argument of the study that cannot be used; what was finished before is kept.
    """
    where = choose(device) if assembly is None else Device(str(assembly.device), "given by the caller")
    store = Store(folder)
    threads = torch.get_num_threads()
    store.begin(
        study,
        plan={"batch_size": batch_size, "threads": threads},
        environment=environment(where),
        hash=claims_hash(study.question, study.claims, study.budgets()),
    )
    assembly = Assembly(where) if assembly is None else assembly
    cells = [c for c in study.cells() if only is None or only(c)]
    if not cells:
        raise BadArgument(f"the study {study.name!r} has no cell of that kind; leave --only out to see all.")
    run_cells(cells, store, assembly, executor=executor, workers=workers, tell=tell)
    return store


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    assembly: Assembly,
    *,
    executor: Executor | None = None,
    workers: int = 1,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Runs what is missing of these cells into a store that was begun."""
    remove_unfinished(store.folder)
    tasks = _tasks(cells, assembly)
    total = sum(len(t.cells) for t in tasks)
    store.write_json("cells.json", [key for t in tasks for key, _, _ in t.cells])
    _describe_data(store, cells, assembly)
    done = 0
    plan = store.plan
    if executor is None and workers <= 1:
        for task in tasks:
            for key, shared, cell in task.cells:
                was_there = store.is_done(key)
                if not was_there:
                    run_cell(cell, key, shared, assembly, store, plan=plan)
                done += 1
                tell(Progress(done, total, cell, was_there))
    else:
        for task in _elsewhere(tasks, executor, workers, store.folder, str(assembly.device), plan):
            for _, _, cell in task.cells:
                done += 1
                tell(Progress(done, total, cell, False))
    store.write_json("stand_ins.json", assembly.stand_ins)


def run_cell(cell: Cell, key: str, shared: str, assembly: Assembly, store: Store, *, plan: dict[str, Any]) -> None:
    """Attacks and judges one cell, part by part, and writes its rows; `shared` is its attack key ("" = baseline)."""
    sample = assembly.slice(cell.data)
    joined = assembly.join(cell)
    net = assembly.judge_net(cell.data)
    metric = assembly.perceptual(net)
    for number, at in enumerate(_parts(len(sample.ids), int(plan["batch_size"]))):
        if store.has_rows(key, number):
            continue
        attacked = store.read_images(shared, number) if shared else _untouched(sample, at)
        if attacked is None:
            attacked = _attack_each(cell, joined, sample, at, assembly)
            store.write_images(shared, number, attacked)
        goal = assembly.wanted(cell, sample, at, len(joined.defended.target.classes))
        rows = _judged(cell, key, joined.defended, sample, at, attacked, goal, metric, net)
        store.write_rows(key, number, rows)
    store.finish(key, cell, _meta(cell, shared, joined, sample, assembly))


def _attack_each(cell: Cell, joined: Joined, sample: Slice, at: Tensor, assembly: Assembly) -> list[Attacked]:
    """The attacked images of these positions; where it raises, the batch is halved until the culprit is alone."""
    try:
        return _attack(cell, joined, sample, at, assembly)
    except UserError:
        raise
    except Exception as error:
        if len(at) > 1:
            half = len(at) // 2
            return _attack_each(cell, joined, sample, at[:half], assembly) + _attack_each(
                cell, joined, sample, at[half:], assembly
            )
        said = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
        return [Attacked(sample.ids[int(at[0])], None, None, 0.0, 0.0, 0.0, 0.0, 0, "", said)]


def _attack(cell: Cell, joined: Joined, sample: Slice, at: Tensor, assembly: Assembly) -> list[Attacked]:
    assert cell.attack is not None
    assert joined.attack is not None
    ids = [sample.ids[int(i)] for i in at]
    originals_u8 = sample.images_u8[at]
    originals = pictures.to_float(originals_u8).to(assembly.device)
    seen = seen_by_attacker(joined.defended, cell.knowledge, surrogate=joined.surrogate)
    goal = assembly.goal(cell, sample, at, Defended(seen))
    meter = Meter()
    with meter.running(assembly.device):
        result: AttackResult = joined.attack.run(
            seen, originals, goal, rng=SampleRng.for_samples(cell.seed, "attack", ids), meter=meter
        )
    found = result.images.detach()
    if not bool(found.isfinite().all()):
        raise ValueError(f"{cell.attack.name} returned pixels that are not finite")
    if cell.budget is None:
        saved = pictures.to_uint8(found).cpu()
    else:
        saved = assembly.budget(cell.budget, cell.data).to_uint8(found, originals_u8.to(assembly.device)).cpu()
    attacked_pipeline = {"oblivious": Defended(joined.defended.target), "adaptive": joined.defended}.get(cell.knowledge)
    in_float: Sequence[bool | None] = [None] * len(ids)
    if attacked_pipeline is not None:
        in_float = succeeds(
            attacked_pipeline, found, goal.labels, wanted=goal.wanted, goal=cell.goal.name, seed=cell.seed, ids=ids,
            repeats=cell.repeats,
        )  # fmt: skip
    n = len(ids)
    notes = [{k: v[i].item() for k, v in result.note.items()} for i in range(n)]
    return [
        Attacked(
            ids[i],
            pictures.png_bytes(saved[i]),
            in_float[i],
            meter.forwards / n,
            meter.backwards / n,
            meter.generator_calls / n,
            meter.seconds / n,
            meter.peak_bytes,
            json.dumps(notes[i], sort_keys=True) if notes[i] else "",
            "",
        )
        for i in range(n)
    ]


def _judged(
    cell: Cell,
    key: str,
    defended: Defended,
    sample: Slice,
    at: Tensor,
    attacked: list[Attacked],
    wanted: Tensor | None,
    metric: Callable[[Tensor, Tensor], Tensor] | None,
    net: str,
) -> list[Row]:
    """A row a sample, from the PNG bytes as they were saved."""
    whole = [i for i, one in enumerate(attacked) if one.png is not None]
    channels = int(sample.images_u8.shape[1])
    rows: list[Row | None] = [
        None if one.png is not None
        else Row(one.sample_id, key, int(sample.labels[int(at[i])]), error=one.error)
        for i, one in enumerate(attacked)
    ]  # fmt: skip
    if whole:
        saved = torch.stack([_read_png(attacked[i].png, channels) for i in whole])
        here = at[torch.tensor(whole)]
        judged = judge(
            defended,
            sample.images_u8[here],
            saved,
            sample.labels[here],
            wanted=None if wanted is None else wanted[torch.tensor(whole)],
            goal=cell.goal.name,
            norm=None if cell.budget is None else cell.budget.name,
            radius=None if cell.budget is None else cell.budget.value,
            seed=cell.seed,
            ids=[attacked[i].sample_id for i in whole],
            repeats=cell.repeats,
            lpips=metric,
            lpips_net=net,
            cell_key=key,
        )
        same_pipeline = not cell.defense or cell.knowledge == "adaptive"
        for i, row in zip(whole, judged, strict=True):
            one = attacked[i]
            costs = {name: getattr(one, name) for name in COSTS}
            in_float = one.success_float if cell.attack is not None and same_pipeline else None
            rows[i] = row._replace(success_float=in_float, note=one.note, **costs)
    return [row for row in rows if row is not None]


def _untouched(sample: Slice, at: Tensor) -> list[Attacked]:
    """The clean baseline: the originals as they are saved."""
    return [
        Attacked(sample.ids[int(i)], pictures.png_bytes(sample.images_u8[int(i)]), None, 0.0, 0.0, 0.0, 0.0, 0, "", "")
        for i in at
    ]


def _read_png(data: bytes | None, channels: int) -> Tensor:
    assert data is not None
    return pictures.from_png_bytes(data, channels=1 if channels == 1 else 3)


def _parts(count: int, size: int) -> Iterator[Tensor]:
    for begin in range(0, count, size):
        yield torch.arange(begin, min(begin + size, count))


def _tasks(cells: Sequence[Cell], assembly: Assembly) -> list[_Task]:
    """Cells grouped by their attacked images, in the order of the study."""
    groups: dict[str, list[tuple[str, str, Cell]]] = {}
    for cell in cells:
        hashes = assembly.hashes(cell)
        key = cell_key(cell, hashes)
        shared = "" if cell.attack is None else attack_key(cell, hashes)
        groups.setdefault(shared or key, []).append((key, shared, cell))
    return [_Task(tuple(group)) for group in groups.values()]


def _meta(cell: Cell, shared: str, joined: Joined, sample: Slice, assembly: Assembly) -> dict[str, Any]:
    _, card = assembly.target(cell.target, cell.data)
    return {
        "attack_key": shared,
        "hashes": assembly.hashes(cell),
        "classes": list(joined.defended.target.classes),
        "decision": joined.defended.target.decision,
        "stochastic": joined.defended.target.stochastic or any(p.stochastic for p in joined.defended.purifiers),
        "count": len(sample.ids),
        "judge_net": assembly.judge_net(cell.data),
        "attack_net": assembly.attack_net(cell.data) if cell.budget is not None and cell.budget.name == "Lpips" else "",
        "alarms": [
            {"threshold": a.threshold, "sigma": a.sigma, "fpr": a.fpr, "calibrated_on": a.calibrated_on}
            for a in joined.defended.alarms
        ],
        "training_seed": assembly.training_seed(cell),
        "target_card": card._asdict(),
    }


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
) -> Iterator[_Task]:
    """Tasks as workers finish them."""
    own = executor is None
    pool = executor or ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        waiting: dict[Future[None], _Task] = {
            pool.submit(_work, task, str(folder), device, dict(plan)): task for task in tasks
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


def _work(task: _Task, folder: str, device: str, plan: dict[str, Any]) -> None:
    """One task in a worker process."""
    set_threads(max(1, min(int(plan["threads"]), (os.cpu_count() or 1))))
    store = Store(folder)
    assembly = Assembly(Device(device, "chosen by the run"))
    for key, shared, cell in task.cells:
        if not store.is_done(key):
            run_cell(cell, key, shared, assembly, store, plan=plan)
