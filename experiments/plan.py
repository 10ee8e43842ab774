"""What a study needs before it runs: time and memory from one batch of each kind, images from the claims' power.

What a measurement takes is known where a run of the study already has one of that arm; else the measure may say it.
"""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from advgen.core.device import choose
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import Cell
from advgen.core.types import Defended
from advgen.experiments import store_readings
from advgen.experiments.assemble import Assembly
from advgen.experiments.claims import SHARES, Claim
from advgen.experiments.claims_readings import AnyClaim, RankClaim, matches
from advgen.experiments.keys import attack_key
from advgen.experiments.knowledge import seen_by_attacker
from advgen.experiments.measurement import Measurement, columns_of
from advgen.experiments.measuring import seconds_of
from advgen.experiments.stats import detectable_difference, paired_sample_size
from advgen.experiments.store import Store
from advgen.experiments.study import Study, written
from advgen.experiments.trained import is_trained
from advgen.experiments.training import recipes

TRIAL = 4  # images of the batch that an estimate rests on
DISCORDANT = 0.3  # share of images on which two conditions differ, for want of a better guess before the run
POWER = 0.8


class ClaimPlan(NamedTuple):
    """How many images a claim has, and how many it needs."""

    statement: str
    n: int
    needed: str
    detectable: str


@dataclass(frozen=True)
class Plan:
    """What a study will cost, as far as a trial tells."""

    cells: int
    baselines: int
    attacked: int
    hours: float  # on one core
    gigabytes: float
    megabytes: float
    claims: tuple[ClaimPlan, ...]
    measurements: int = 0
    measuring_hours: float | None = 0.0  # on one core; None = nothing is known of some measurement
    unknown: tuple[str, ...] = ()  # arms of which no time is known
    to_train: tuple[str, ...] = ()  # recipes whose checkpoints are not there yet

    def to_json(self) -> Mapping[str, Any]:
        return {**asdict(self), "claims": [c._asdict() for c in self.claims]}


def plan_of(study: Study, *, device: str | None = None, run: Path | None = None) -> Plan:
    """Runs each attack once on a few images of each kind of cell and multiplies; `run` holds an earlier run, if any."""
    assembly = Assembly(choose(device))
    cells = study.cells()
    seconds, shared, tried = 0.0, set(), {}
    for cell in cells:
        if cell.attack is None:
            continue
        key = attack_key(cell, assembly.hashes(cell))
        if key in shared:
            continue
        shared.add(key)
        kind = (cell.data, cell.target, cell.attack, written(cell.defense) if cell.knowledge == "adaptive" else "")
        if kind not in tried:
            tried[kind] = _seconds_per_image(cell, assembly)
        seconds += tried[kind] * len(assembly.slice(cell.data).ids)
    # A judging shows each image three times (clean, saved, JPEG) and measures LPIPS: like a few forwards.
    seconds += sum(len(assembly.slice(c.data).ids) for c in cells) * 0.02
    images = sum(assembly.slice(c.data).images_u8.numel() for c in {c.data: c for c in cells}.values())
    measurements = study.every_measurement()
    hours, unknown = _measuring(measurements, run)
    return Plan(
        cells=len(cells),
        baselines=sum(c.attack is None for c in cells),
        attacked=len(shared),
        hours=seconds / 3600,
        gigabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        megabytes=len(shared) * images / max(1, len({c.data for c in cells})) / 2**20,
        claims=tuple(_claim(c, cells, assembly, measurements) for c in study.claims),
        measurements=len(measurements),
        measuring_hours=None if unknown else hours,
        unknown=unknown,
        to_train=tuple(ref for ref in recipes(measurements) if not is_trained(ref)),
    )


def _measuring(measurements: Sequence[Measurement], run: Path | None) -> tuple[float, tuple[str, ...]]:
    """Hours of the measurements whose time is known, and the arms of which nothing is."""
    took: dict[tuple[object, ...], list[float]] = {}
    if run is not None and (run / "study.json").is_file():
        for one in store_readings.measurements(Store(run)):
            took.setdefault(one.measurement[:3], []).append(float(one.meta["seconds"]))
    seconds, unknown = 0.0, []
    for m in measurements:
        known = took.get(m[:3])
        guess = sum(known) / len(known) if known else seconds_of(m)
        if guess is None:
            unknown.append(str(m._replace(seed=0)).removesuffix(", seed 0"))
        else:
            seconds += guess
    return seconds / 3600, tuple(dict.fromkeys(unknown))


def _seconds_per_image(cell: Cell, assembly: Assembly) -> float:
    """Wall time of the attack on the first images, a sample."""
    joined = assembly.join(cell)
    assert joined.attack is not None
    sample = assembly.slice(cell.data)
    at = torch.arange(min(TRIAL, len(sample.ids)))
    seen = seen_by_attacker(joined.defended, cell.knowledge, surrogate=joined.surrogate)
    goal = assembly.goal(cell, sample, at, Defended(seen))
    begun = time.perf_counter()
    joined.attack.run(
        seen,
        sample.images[at].to(assembly.device),
        goal,
        rng=SampleRng.for_samples(cell.seed, "attack", [sample.ids[int(i)] for i in at]),
        meter=Meter(),
    )
    return (time.perf_counter() - begun) / len(at)


def _claim(
    claim: AnyClaim, cells: tuple[Cell, ...], assembly: Assembly, measurements: Sequence[Measurement]
) -> ClaimPlan:
    """Images for power 0.8 against a difference of the claim's margin (or 10 points), paired, two-sided 5%.

    A claim over measurements has its seeds; how many it needs depends on a spread that nobody knows yet.
    """
    if not isinstance(claim, Claim):
        chosen = [m for m in measurements if matches(columns_of(m), claim.of)]
        n = len({m.arm for m in chosen}) if isinstance(claim, RankClaim) else len({m.seed for m in chosen})
        return ClaimPlan(
            claim.statement, n, "4 arms or more" if isinstance(claim, RankClaim) else "3 seeds or more", "–"
        )
    names = {str(v) for v in [claim.of.get("data", "")]} - {""}
    sizes = [len(assembly.slice(c.data).ids) for c in cells if not names or c.data.name in names]
    n = min(sizes, default=0)
    if claim.metric not in SHARES or claim.versus is None:
        return ClaimPlan(claim.statement, n, "–", "–")
    wanted = abs(claim.margin) or 0.1
    discordant = max(DISCORDANT, wanted)
    smallest = detectable_difference(n, DISCORDANT) if n else None
    return ClaimPlan(
        claim.statement,
        n,
        f"{paired_sample_size(wanted, discordant, power=POWER)} for {100 * wanted:.0f} points",
        "–" if smallest is None else f"{100 * smallest:.0f} points",
    )
