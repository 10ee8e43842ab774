"""A run folder made without a network: rows by rule, pictures by number, names that try to break out."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part, Row
from advgen.experiments.store import Attacked, Store
from advgen.experiments.study import Study, parse

EVIL = "<script>alert(1)</script>"
CLASSES = ("zero", f"{EVIL}&\"'", "two_%$#")
DATA = DataSpec("digits", "test", 40)
JPEG, ALARM = Part("purify/jpeg"), Part("detect/magnet")
PGD, FGSM, NOISE = Part.of("image/pgd", {"steps": 4}), Part("image/fgsm"), Part("image/noise")


class Made(NamedTuple):
    store: Store
    study: Study


def png(seed: int) -> bytes:
    """A noisy grey square."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def rows_of(cell: Cell, key: str, *, breaks: float, seed: int, n: int = 40) -> list[Row]:
    """Rows in which the attack breaks a share of the images that depends on the cell alone."""
    rng = np.random.default_rng(seed)
    alarmed = ALARM in cell.defense
    rows = []
    for i in range(n):
        clean = i % 3 if i % 13 else (i + 1) % 3
        won = bool(cell.attack is not None and rng.random() < breaks)
        alarm = float(rng.normal(0.6 if cell.attack else -1.2)) if alarmed else None
        rejected = None if alarm is None else alarm > 0
        rows.append(
            Row(
                sample_id=f"{DATA.name}/{cell.data.split}/{i}{EVIL if i == 7 else ''}",
                cell_key=key,
                label=i % 3,
                clean_prediction=clean,
                clean_rejected=None if alarm is None else i % 20 == 0,
                clean_alarm=None if alarm is None else float(rng.normal(-1.2)) if i % 20 else 0.5,
                prediction=(i + 1) % 3 if won else clean,
                success_float=won,
                success_saved=(won or clean != i % 3) and not rejected,
                success_jpeg75=won and i % 2 == 0,
                success_probability=float(won),
                rejected=rejected,
                alarm=alarm,
                linf=8 / 255,
                l2=0.5 + i / 100,
                l1=4.0,
                l0=30.0,
                lpips=0.01 + i / 1000,
                lpips_net="squeeze",
                inside=True,
                forwards=5.0,
                backwards=4.0,
                seconds=0.01,
                error="RuntimeError: this image is refused" if i == 11 and cell.attack else "",
            )
        )
    return rows


def cells_of(data: DataSpec = DATA) -> list[tuple[Cell, float]]:
    """Cells with the share that each breaks."""
    base = Cell(data, Part("digits_classifier"))
    found = [(base._replace(defense=d), 0.0) for d in ((), (JPEG,), (ALARM,))]
    for k, radius in enumerate(("4/255", "16/255")):
        at = base._replace(budget=BudgetSpec("Linf", radius))
        found.append((at._replace(attack=PGD), 0.4 + 0.4 * k))
        found.append((at._replace(attack=FGSM), 0.3 + 0.4 * k))
        found.append((at._replace(attack=NOISE), 0.0))
        found.append((at._replace(attack=PGD, defense=(JPEG,)), 0.1 + 0.2 * k))
        found.append((at._replace(attack=PGD, defense=(JPEG,), knowledge="adaptive"), 0.3 + 0.4 * k))
        found.append((at._replace(attack=FGSM, defense=(JPEG,), knowledge="adaptive"), 0.2 + 0.4 * k))
        found.append((at._replace(attack=PGD, defense=(ALARM,)), 0.5))
    found.append((base._replace(attack=PGD, budget=BudgetSpec("Linf", "1")), 1.0))
    return found


def text_of(**more: Any) -> dict[str, Any]:
    return {
        "name": "planted",
        "question": f"Does {EVIL} stop 50% of PGD_4 & co?",
        "description": "Rows by rule.",
        "grids": [{"data": ["digits"], "targets": ["digits_classifier"]} | {"data": [{"name": "digits", "count": 40}]}],
        "claims": [
            {
                "statement": f"JPEG {EVIL} keeps 90%",
                "metric": "robust_accuracy",
                "of": {"defense": "purify/jpeg", "knowledge": "adaptive", "radius": "16/255", "attack": "image/pgd"},
                "relation": ">",
                "margin": 0.9,
            },
            {"statement": "nothing", "metric": "success", "of": {"defense": "no such"}},
        ],
    } | more


def write_run(folder: Path, *, data: DataSpec = DATA, seed: int = 0, left_out: int = 0, **more: Any) -> Made:
    """A run of all cells but the last `left_out`, through the store."""
    study = parse(text_of(**more), "here")
    store = Store(folder)
    env = {"versions": {"advgen": "0.1.0"}, "device": "cpu", "date": "2026-01-02T03:04:05", "command": "advgen run x"}
    store.begin(study, plan={"batch_size": 64, "threads": 1}, environment=env, hash="0")
    cells = cells_of(data)
    keys = [f"{k:020x}" for k in range(len(cells))]
    store.write_json("cells.json", keys)
    store.write_json("stand_ins.json", {})
    yardstick = {"linf": 0.1, "l2": 1.0, "lpips": 0.02, "n": 40}
    store.write_json("yardsticks.json", {str(data): {"JPEG quality 75": yardstick, "shift of one pixel": yardstick}})
    for k, (cell, breaks) in enumerate(cells[: len(cells) - left_out]):
        rows = rows_of(cell, keys[k], breaks=breaks, seed=seed + k)
        shared = f"images-{k}" if cell.attack else ""
        for name, plus in ((shared or "unused", 100), ("originals-x", 0)):
            store.write_images(
                name,
                0,
                [Attacked(r.sample_id, png(i + plus), None, 0, 0, 0, 0.0, 0, "", "") for i, r in enumerate(rows[:6])],
            )
        store.write_rows(keys[k], 0, rows)
        meta = {
            "attack_key": shared, "originals_key": "originals-x", "classes": list(CLASSES), "count": 40,
            "hashes": {"data": "d", "target": "t"}, "judge_net": "squeeze", "attack_net": "", "training_seed": -1,
            "alarms": [{"threshold": 1.0, "sigma": 1.0, "fpr": 0.05, "calibrated_on": "c"}] if ALARM in cell.defense
            else [], "target_card": {"name": f"net{EVIL}", "recipe": "r", "licence": "MIT"},
        }  # fmt: skip
        store.finish(keys[k], cell, meta)
    return Made(store, study)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_run(tmp_path_factory.mktemp("planted") / "run")


@pytest.fixture
def run_writer() -> Any:
    return write_run


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
