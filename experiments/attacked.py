"""Attacks on a file, a folder or a data set from the shell: PNG files, a table, and a run like any other."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from advgen.core import images as pictures
from advgen.core import registry
from advgen.core.device import choose
from advgen.core.errors import BadArgument
from advgen.core.files import sha256, write_atomically
from advgen.core.provenance import Provenance, Source, SourceType
from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part
from advgen.experiments.assemble import Assembly
from advgen.experiments.finished import give
from advgen.experiments.given import NAME, read_pictures
from advgen.experiments.named_targets import channels_of
from advgen.experiments.run import Progress, run
from advgen.experiments.store import Store
from advgen.experiments.study import check_part, parse

TABLE = (
    "sample_id", "attack", "budget", "radius", "defense", "knowledge", "label", "clean_prediction", "prediction",
    "success_saved", "success_jpeg75", "rejected", "linf", "l2", "lpips", "lpips_net", "inside", "forwards",
    "backwards", "seconds", "error",
)  # fmt: skip


def attack_images(
    attacks: Sequence[Part],
    place: str,
    target: Part,
    folder: str | Path,
    *,
    budgets: Sequence[BudgetSpec],
    goal: Part,
    defenses: Sequence[tuple[Part, ...]] = (),
    knowledge: str = "oblivious",
    surrogate: Part | None = None,
    count: int = 0,
    labels: str | None = None,
    size: int | None = None,
    seed: int = 0,
    device: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Store:
    """Attacks images; writes `folder`/images, `folder`/table.csv and `folder`/run, a run like any other."""
    for kind, part in [("attacks", a) for a in attacks] + [("defenses", p) for d in defenses for p in d]:
        check_part(kind, part)
    where = choose(device)
    say(f"device {where}")
    assembly = Assembly(where, say=say)
    if _is_data_set(place):
        spec = DataSpec(place, "test", count, size)
    else:
        channels = channels_of(target)
        found = read_pictures(place, size=size, channels=channels)
        spec = DataSpec(NAME, "test", len(found.names))
        give(assembly, spec, found, target, labels, say=say)
    assembly.target(target, spec)  # a network that cannot be had is said before anything is written
    study = parse(
        {
            "name": "attack",
            "question": f"Do {', '.join(p.name for p in attacks)} fool {target.name}?",
            "grids": [
                {
                    "data": [{"name": spec.name, "split": spec.split, "count": spec.count, "size": spec.size}],
                    "targets": [_entry(target)],
                    "goals": [_entry(goal)],
                    "attacks": [_entry(a) for a in attacks],
                    "budgets": [b._asdict() for b in budgets],
                    "defenses": [[_entry(p) for p in d] for d in defenses] or ["none"],
                    "knowledge": [knowledge],
                    "surrogate": None if surrogate is None else _entry(surrogate),
                    "seeds": [seed],
                    "controls": False,
                }
            ],
        },
        "attack",
    )
    store = run(study, Path(folder) / "run", assembly=assembly, tell=tell)
    _export(store, Path(folder), None if _is_data_set(place) else Path(place))
    return store


def _is_data_set(place: str) -> bool:
    """Whether the place is the name of a data set; a file or folder of that name wins when it is written ./name."""
    if place.startswith("folder:"):
        return True
    if Path(place).exists():
        return False
    known = [p.name for p in registry.listing("data")]
    if place in known:
        return True
    raise BadArgument(f"{place!r} is neither a file, a folder nor a data set ({', '.join(known)}).")


def _entry(part: Part) -> dict[str, object]:
    return {"name": part.name, "args": dict(part.args)}


def _export(store: Store, folder: Path, place: Path | None) -> None:
    """PNG files in a folder for each attack, and the table; `place` is where the originals lie, if they are files."""
    rows = store.rows()
    attacked = rows[rows["attack"] != ""]
    lines = [TABLE, *attacked[list(TABLE)].astype(object).where(attacked[list(TABLE)].notna(), "").to_numpy().tolist()]
    write_atomically(folder / "table.csv", _csv(lines).encode())
    for _, cell, meta in store.cells():
        if cell.attack is None:
            continue
        words = [cell.attack.name.replace("/", "_"), str(cell.budget or "minimum")]
        if cell.attack.args:
            words.append(json.dumps(dict(cell.attack.args)))
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in "-".join(words))
        originals = {one.sample_id: one.png for one in store.images(meta["originals_key"])}
        for one in store.images(meta["attack_key"]):
            if one.png is not None:
                inside = one.sample_id.split("/", 2)[-1]
                path = folder / "images" / name / f"{Path(inside).with_suffix('')}.png"
                source = _source(one.sample_id, originals.get(one.sample_id), place)
                image = pictures.from_png_bytes(one.png, channels=_channels(one.png))
                pictures.save_png(image, path, provenance=_provenance(cell, source))


def _source(sample_id: str, original: bytes | None, place: Path | None) -> Source:
    """The file that an image was read from; of data sets, the original as this platform saves it."""
    inside = sample_id.split("/", 2)[-1]
    file = None if place is None else place / inside if place.is_dir() else place
    if file is not None and file.is_file():
        return Source(inside, sha256(file))
    return Source(f"{sample_id}, as PNG", hashlib.sha256(original or b"").hexdigest())


def _provenance(cell: Cell, source: Source) -> Provenance:
    """Attacks that are given a generator make the whole picture; the others change pixels of the original."""
    assert cell.attack is not None
    generated = "generator" in registry.describe("attacks", cell.attack.name).literals.get("needs", ())
    about = {
        "target": str(cell.target),
        "goal": str(cell.goal),
        "budget": str(cell.budget or "none"),
        "defense": [str(part) for part in cell.defense],
        "knowledge": cell.knowledge,
        "seed": cell.seed,
        **dict(cell.attack.args),
    }
    kind: SourceType = "trainedAlgorithmicMedia" if generated else "algorithmicallyEnhanced"
    return Provenance(kind, f"advgen attack {cell.attack.name}", about, (source,))


def _channels(png: bytes) -> int:
    """1 for a grey PNG, 3 otherwise: the colour type stands in byte 25 of the header."""
    return 1 if png[25] in (0, 4) else 3


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()
