"""One cell of a study, from its names to its rows: whoever has read `run_cell` knows the platform.

data -> parts -> what the attacker sees -> attack -> bytes -> judge -> rows, everything keyed by (cell key, sample id).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from advgen.core import images as pictures
from advgen.core.errors import UserError
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import Cell, Row
from advgen.core.types import AttackResult, Defended, Slice
from advgen.experiments import validity
from advgen.experiments.assemble import Assembly, Joined
from advgen.experiments.judge import judge, succeeds
from advgen.experiments.knowledge import seen_by_attacker
from advgen.experiments.store import Attacked, Store

COSTS = ("forwards", "backwards", "generator_calls", "seconds", "peak_bytes")
SHOWN = 16  # samples of a cell whose purified image is kept for the report


def run_cell(cell: Cell, key: str, shared: str, assembly: Assembly, store: Store, *, plan: dict[str, Any]) -> None:
    """Attacks and judges one cell, part by part, and writes its rows; `shared` is its attack key ("" = baseline)."""
    sample = assembly.slice(cell.data)
    joined = assembly.join(cell)
    originals_key = f"originals-{sample.hash[:20]}"
    for number, at in enumerate(parts(len(sample.ids), int(plan["batch_size"]))):
        if store.has_rows(key, number):
            continue
        if store.read_images(originals_key, number) is None:
            store.write_images(originals_key, number, _untouched(sample, at))
        attacked = store.read_images(shared or originals_key, number)
        if attacked is None:
            attacked = _each(at, lambda some: _attack(cell, joined, sample, some, assembly), _failed_attack(sample))
            store.write_images(shared, number, attacked)
        if number == 0 and joined.defended.purifiers:
            store.write_images(f"purified-{key}", 0, _purified(cell, joined.defended, sample, attacked, assembly))
        by_id = {one.sample_id: one for one in attacked}
        rows = _each(
            at,
            lambda some, by_id=by_id: _judged(cell, key, joined.defended, sample, some, by_id, assembly),
            lambda i, said: Row(sample.ids[i], key, int(sample.labels[i]), error=said),
        )
        store.write_rows(key, number, rows)
    meta = _meta(cell, shared, joined, sample, assembly)
    purified_key = f"purified-{key}" if joined.defended.purifiers else ""
    store.finish(key, cell, {**meta, "originals_key": originals_key, "purified_key": purified_key})


def parts(count: int, size: int) -> Iterator[Tensor]:
    """Positions of the samples, `size` at a time."""
    for begin in range(0, count, size):
        yield torch.arange(begin, min(begin + size, count))


def _each(at: Tensor, work: Callable[[Tensor], list[Any]], failed: Callable[[int, str], Any]) -> list[Any]:
    """What `work` makes of these positions; where it raises, they are halved until the culprits are alone."""
    try:
        return work(at)
    except UserError:
        raise
    except Exception as error:
        if len(at) > 1:
            half = len(at) // 2
            return _each(at[:half], work, failed) + _each(at[half:], work, failed)
        said = (str(error).splitlines() or ["no message"])[0]
        return [failed(int(at[0]), f"{type(error).__name__}: {said}")]


def _failed_attack(sample: Slice) -> Callable[[int, str], Attacked]:
    return lambda i, said: Attacked(sample.ids[i], None, None, 0.0, 0.0, 0.0, 0.0, 0, "", said)


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
        budget = assembly.budget(cell.budget, cell.data, cell.attack)
        saved = budget.to_uint8(found, originals_u8.to(assembly.device)).cpu()
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
    attacked: dict[str, Attacked],
    assembly: Assembly,
) -> list[Row]:
    """A row a sample, from the PNG bytes as they were saved; a sample whose attack failed keeps its error."""
    made = [attacked[sample.ids[int(i)]] for i in at]
    whole = [k for k, one in enumerate(made) if one.png is not None]
    rows = [Row(one.sample_id, key, int(sample.labels[int(at[k])]), error=one.error) for k, one in enumerate(made)]
    if not whole:
        return rows
    here = at[torch.tensor(whole)]
    wanted = assembly.wanted(cell, sample, here, len(defended.target.classes))
    net = assembly.judge_net(cell.data)
    judged = judge(
        defended,
        sample.images_u8[here],
        torch.stack([_read_png(made[k].png, sample) for k in whole]),
        sample.labels[here],
        wanted=wanted,
        goal=cell.goal.name,
        norm=None if cell.budget is None else cell.budget.name,
        radius=None if cell.budget is None else cell.budget.value,
        seed=cell.seed,
        ids=[made[k].sample_id for k in whole],
        repeats=cell.repeats,
        lpips=assembly.perceptual(net),
        lpips_net=net,
        cell_key=key,
        validity=validity.judge_of(cell, sample, here, wanted, assembly),
    )
    same_pipeline = not cell.defense or cell.knowledge == "adaptive"
    for k, row in zip(whole, judged, strict=True):
        costs = {name: getattr(made[k], name) for name in COSTS}
        in_float = made[k].success_float if cell.attack is not None and same_pipeline else None
        rows[k] = row._replace(success_float=in_float, note=made[k].note, **costs)
    return rows


def _untouched(sample: Slice, at: Tensor) -> list[Attacked]:
    """The originals as they are saved: what the clean baseline is judged on."""
    return [
        Attacked(sample.ids[int(i)], pictures.png_bytes(sample.images_u8[int(i)]), None, 0.0, 0.0, 0.0, 0.0, 0, "", "")
        for i in at
    ]


def _purified(
    cell: Cell, defended: Defended, sample: Slice, attacked: Sequence[Attacked], assembly: Assembly
) -> list[Attacked]:
    """The first attacked images as the target sees them behind the purifiers."""
    some = [one for one in attacked[:SHOWN] if one.png is not None]
    if not some:
        return []
    ids = [one.sample_id for one in some]
    shown = pictures.to_float(torch.stack([_read_png(one.png, sample) for one in some])).to(assembly.device)
    rng = SampleRng.for_samples(cell.seed, "judge/0", ids)
    with torch.no_grad():
        for purifier in defended.purifiers:
            shown = purifier.purify(shown, rng)
    saved = pictures.to_uint8(shown.clamp(0, 1)).cpu()
    return [one._replace(png=pictures.png_bytes(saved[k]), note="") for k, one in enumerate(some)]


def _read_png(data: bytes | None, sample: Slice) -> Tensor:
    assert data is not None
    return pictures.from_png_bytes(data, channels=1 if sample.images_u8.shape[1] == 1 else 3)


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
        "attack_net": _attack_net(cell, assembly),
        "alarms": [
            {"threshold": a.threshold, "sigma": a.sigma, "fpr": a.fpr, "calibrated_on": a.calibrated_on}
            for a in joined.defended.alarms
        ],
        "calibration_alarm": assembly.calibration_alarm(cell),
        "training_seed": assembly.training_seed(cell),
        "stand_ins": dict(assembly.stand_ins),
        "target_card": card._asdict(),
    }


def _attack_net(cell: Cell, assembly: Assembly) -> str:
    """The backbone of the budget's LPIPS; "" where the budget is no LPIPS."""
    learned = cell.attack is not None and cell.budget is not None and cell.budget.name == "Lpips"
    return assembly.attack_net(cell.data, cell.attack) if learned and cell.attack is not None else ""
