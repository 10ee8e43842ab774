"""Finished images, made by anybody with anything, through our judge: rows, intervals, warnings and page.

The images are judged as they come: decoded from their files, compared byte by byte with their originals.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import torch

from advgen.core import images as pictures
from advgen.core.device import choose
from advgen.core.specs import GIVEN, BudgetSpec, Cell, DataSpec, Part
from advgen.experiments.assemble import Assembly
from advgen.experiments.claims import claims_hash
from advgen.experiments.environment import environment
from advgen.experiments.given import (
    NAME,
    Pictures,
    as_slice,
    labels_of_folders,
    labels_of_target,
    matched,
    read_labels,
    read_pictures,
)
from advgen.experiments.keys import attack_key
from advgen.experiments.matcher_target import is_matcher
from advgen.experiments.named_targets import channels_of
from advgen.experiments.run import BATCH_SIZE, Progress, run_cells
from advgen.experiments.store import Attacked, Store
from advgen.experiments.study import Study

UNTARGETED = Part("untargeted")
ADVERSARIALS = f"{GIVEN}adversarials"


def judge_finished(
    originals: str | Path,
    adversarials: str | Path,
    target: Part,
    folder: str | Path,
    *,
    labels: str | Path | None = None,
    goal: Part = UNTARGETED,
    budget: BudgetSpec | None = None,
    defenses: Sequence[tuple[Part, ...]] = (),
    size: int | None = None,
    seed: int = 0,
    repeats: int = 1,
    device: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Store:
    """Judges two folders (or two files) of images against a target, bare and behind each defense.

    Labels come from a CSV (`file`, `label`), from sub-folders named as the classes are, or, said aloud, from what the
    target says of the originals.
    """
    channels = channels_of(target)
    first, second = matched(
        read_pictures(originals, size=size, channels=channels),
        read_pictures(adversarials, size=size, channels=channels),
    )
    where = choose(device)
    say(f"device {where}")
    assembly = Assembly(where, say=say)
    spec = DataSpec(NAME, "test", len(first.names))
    give(assembly, spec, first, target, labels, say=say)
    base = Cell(spec, target, goal, seed=seed, repeats=repeats)
    piped = [base._replace(defense=d) for d in ((), *defenses)]
    # Their content is part of the key: other images in the same folder must not be taken for these.
    made = Part.of(ADVERSARIALS, {"content": blake2b(second.images_u8.numpy().tobytes(), digest_size=10).hexdigest()})
    cells = [c for b in piped for c in (b, b._replace(attack=made, budget=budget))]
    study = Study(name="finished-images", question=f"Do the given images fool {target.name}?", grids=())
    store = Store(folder)
    store.begin(
        study,
        plan={"batch_size": BATCH_SIZE, "threads": torch.get_num_threads()},
        environment=environment(where),
        hash=claims_hash(study.question, (), ()),
    )
    _write_given(store, cells, assembly, spec, second)
    run_cells(cells, store, assembly, tell=tell)
    return store


def give(
    assembly: Assembly,
    spec: DataSpec,
    found: Pictures,
    target: Part,
    labels: str | Path | None,
    *,
    say: Callable[[str], None],
) -> None:
    """Puts pictures and their labels into the assembly, under the name of `spec`."""
    sample = as_slice(found, [0] * len(found.names), ())
    assembly.give_data(spec.name, spec.split, sample)
    network, _ = assembly.target(target, spec)
    if labels is not None:
        numbers = read_labels(labels, found.names, network.classes)
    else:
        by_folder = labels_of_folders(found.names, network.classes)
        if by_folder is None:
            say("no labels were given: what the target says of the clean images stands for the truth.")
            by_folder = labels_of_target(network, found.images_u8)
        numbers = by_folder
    persons = is_matcher(target)
    assembly.give_data(spec.name, spec.split, as_slice(found, numbers, network.classes, by_person=persons))
    assembly.forget(spec)


def _write_given(store: Store, cells: Sequence[Cell], assembly: Assembly, spec: DataSpec, made: Pictures) -> None:
    """The given images where attacked ones would lie, part by part."""
    ids = assembly.slice(spec).ids
    size = int(store.plan["batch_size"])
    for cell in cells:
        if cell.attack is None:
            continue
        shared = attack_key(cell, assembly.hashes(cell))
        for number, begin in enumerate(range(0, len(ids), size)):
            part = range(begin, min(begin + size, len(ids)))
            store.write_images(
                shared,
                number,
                [
                    Attacked(ids[i], pictures.png_bytes(made.images_u8[i]), None, 0.0, 0.0, 0.0, 0.0, 0, "", "")
                    for i in part
                ],
            )
