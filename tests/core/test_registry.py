"""A plug-in is a file: it is listed without being imported, found by name, and built from checked arguments."""

import dataclasses
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from advgen.core import registry
from advgen.core.arguments import convert
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName, UserError
from advgen.core.plugins import NotLiteral, value_of
from advgen.core.specs import Card

SOUND = '''
"""Moves pixels by a fixed step.

Somebody 2020, arXiv 0000.00000.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

raise_if_imported = 1


@final
@dataclass(frozen=True)
class Mover:
    paper = "arXiv 0000.00000"
    access = "white-box"
    goals = ("untargeted",)
    budgets = ("Linf", "L2")
    needs = ("generator",)
    cost = "gradient"
    trial: ClassVar = {"steps": 2}
    waives: ClassVar = {"eps_one": "it moves once"}

    budget: object = None
    steps: int = 40  # gradient steps
    # size of one step,
    # in units of pixels
    size: float = 8 / 255
    clamp: bool = True  # keep [0, 1]
    mode: Literal["sign", "raw"] = "sign"
    weights: tuple[float, ...] = field(default=(1.0, 0.5))
    tiny: float = 1e-8
    generator: object = field(default=None, repr=False, compare=False)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `lab` on the import path, its attacks listed in the place of the shipped ones."""
    family = tmp_path / "lab" / "attacks" / "image"
    family.mkdir(parents=True)
    for package in (tmp_path / "lab", tmp_path / "lab" / "attacks", family):
        (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry.KINDS, "attacks", registry.KINDS["attacks"]._replace(package="lab.attacks"))
    yield family
    for name in [n for n in sys.modules if n == "lab" or n.startswith("lab.")]:
        del sys.modules[name]


def add(folder: Path, file: str, source: str) -> None:
    (folder / file).write_text(textwrap.dedent(source).lstrip("\n"))


def distribute(root: Path, name: str, group: str, entries: str) -> None:
    """What pip leaves of an installed distribution with entry points."""
    info = root / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")


def test_a_plugin_says_what_it_is_without_being_imported(folder: Path) -> None:
    add(folder, "mover.py", SOUND.replace("raise_if_imported = 1", 'raise RuntimeError("imported")'))
    (plugin,) = registry.listing("attacks")
    assert plugin.name == "image/mover"
    assert plugin.summary == "Moves pixels by a fixed step."
    assert plugin.broken == ""
    assert plugin.literals["budgets"] == ("Linf", "L2")
    assert plugin.literals["waives"] == {"eps_one": "it moves once"}
    assert plugin.class_name == "Mover"


def test_arguments_are_shown_as_they_are_written_with_their_comments(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    shown = {f.name: (f.default, f.comment) for f in registry.describe("attacks", "image/mover").arguments}
    assert shown["steps"] == ("40", "gradient steps")
    assert shown["size"] == ("8 / 255", "size of one step, in units of pixels")
    assert shown["clamp"] == ("True", "keep [0, 1]")
    assert shown["mode"] == ('"sign"', "")
    assert shown["weights"] == ("(1.0, 0.5)", "")
    assert shown["tiny"] == ("1e-8", "")


def test_budget_and_needs_are_no_arguments(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    assert "budget" not in registry.defaults("attacks", "image/mover")
    assert "generator" not in registry.defaults("attacks", "image/mover")
    with pytest.raises(BadArgument, match="'budget' of image/mover is not an argument"):
        registry.create("attacks", "image/mover", budget="8/255")
    with pytest.raises(BadArgument, match="fills it with a generator"):
        registry.create("attacks", "image/mover", generator="stylegan2")


def test_the_platform_may_hand_over_budget_and_needs_as_objects(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    budget = [8 / 255]
    assert registry.create("attacks", "image/mover", budget=budget).budget is budget


def test_an_attack_that_needs_a_budget_is_not_built_without_one(folder: Path) -> None:
    add(folder, "mover.py", SOUND.replace("budget: object = None", "budget: object"))
    with pytest.raises(BadArgument, match="needs a budget"):
        registry.create("attacks", "image/mover")


def test_defaults_read_from_the_source_are_those_of_the_class(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    built = dataclasses.asdict(registry.create("attacks", "image/mover"))
    read = registry.defaults("attacks", "image/mover")
    assert read == {name: built[name] for name in read}
    assert read["size"] == 8 / 255


def test_arguments_fill_defaults_in_and_have_the_types_of_the_annotations(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    given = registry.arguments("attacks", "image/mover", {"steps": "3", "size": "4/255", "clamp": "False"})
    assert (given["steps"], given["size"], given["clamp"], given["mode"]) == (3, 4 / 255, False, "sign")


def test_an_unknown_argument_names_the_nearest(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    with pytest.raises(UnknownName, match=r"unknown argument of image/mover 'step': did you mean 'steps'\?"):
        registry.create("attacks", "image/mover", step=3)


def test_an_unknown_plugin_names_the_nearest(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    with pytest.raises(UnknownName, match=r"unknown attack 'image/mvoer': did you mean 'image/mover'\?"):
        registry.describe("attacks", "image/mvoer")


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown kind 'atacks': did you mean 'attacks'\?"):
        registry.listing("atacks")


@pytest.mark.parametrize("path", ["_private.py", "../_hidden/x.py", "../engine.py", "note.txt"])
def test_private_files_private_folders_and_files_outside_a_family_are_no_plugins(folder: Path, path: str) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    add(folder, path, SOUND)
    assert registry.listing("attacks") == []


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (("steps: int = 40", "steps: int = = 40"), 25, "does not parse"),
        (('"""Moves pixels by a fixed step.\n\nSomebody 2020, arXiv 0000.00000.\n"""\n', ""), 1, "has no docstring"),
        (("class Mover:", "class _Mover:"), 1, "has no public class"),
        (("(frozen=True)", ""), 14, "class Mover is not a frozen dataclass"),
        (('paper = "arXiv 0000.00000"', "paper = CITATION"), 15, "paper is not a literal: CITATION"),
        (('access = "white-box"', 'access = "whitebox"'), 16, "access is 'whitebox'; it is one of white-box"),
        (('goals = ("untargeted",)', 'goals = ("untargeted")'), 17, "goals is not a tuple of names"),
        (('("Linf", "L2")', '("Linf", "L3")'), 18, "budgets holds 'L3'"),
        (('needs = ("generator",)', 'needs = ("inverter",)'), 19, "needs names 'inverter', which is not a field"),
        (('{"steps": 2}', '{"stepz": 2}'), 21, "trial names 'stepz', which is not a field"),
        (('"it moves once"', '""'), 22, "waives 'eps_one' without a reason"),
        (("steps: int = 40", "steps: int = STEPS"), 25, "the default of steps is not a literal: STEPS"),
        (("size: float = 8 / 255", "size: float = 8 / 0"), 28, "the default of size is not a literal"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_faulty_file_is_listed_as_broken_with_its_line(
    folder: Path, change: tuple[str, str], line: int, reason: str
) -> None:
    assert change[0] in SOUND
    add(folder, "mover.py", SOUND.replace(*change))
    (plugin,) = registry.listing("attacks")
    assert plugin.name == "image/mover"
    assert reason in plugin.broken
    assert plugin.line == line
    with pytest.raises(BadFile, match=r"attack 'image/mover' is broken: .*mover\.py, line \d+"):
        registry.create("attacks", "image/mover")


def test_two_public_classes_are_broken_and_both_are_named(folder: Path) -> None:
    add(folder, "mover.py", SOUND + "\n\nclass Second:\n    pass\n")
    (plugin,) = registry.listing("attacks")
    assert plugin.broken == "has two public classes, Mover and Second"


def test_a_broken_neighbour_does_not_hide_the_others(folder: Path) -> None:
    add(folder, "mover.py", SOUND)
    (folder / "binary.py").write_bytes(b"\xff\xfe\x00")
    assert [(p.name, bool(p.broken)) for p in registry.listing("attacks")] == [
        ("image/binary", True),
        ("image/mover", False),
    ]


def test_an_entry_point_is_listed_without_importing_it(folder: Path, tmp_path: Path) -> None:
    add(tmp_path, "stranger.py", SOUND.replace("raise_if_imported = 1", 'raise RuntimeError("imported")'))
    distribute(tmp_path, "stranger_lab", "advgen.attacks", "theirs/mover = stranger:Mover")
    (plugin,) = registry.listing("attacks")
    assert (plugin.name, plugin.origin, plugin.broken) == ("theirs/mover", "stranger_lab", "")


def test_an_entry_point_without_source_is_listed_as_broken(folder: Path, tmp_path: Path) -> None:
    distribute(tmp_path, "stranger_lab", "advgen.attacks", "theirs/gone = gone_module:Mover")
    (plugin,) = registry.listing("attacks")
    assert "no Python source of module 'gone_module'" in plugin.broken


def test_two_plugins_of_one_name_are_refused_and_both_named(folder: Path, tmp_path: Path) -> None:
    add(folder, "mover.py", SOUND)
    add(tmp_path, "stranger.py", SOUND)
    distribute(tmp_path, "stranger_lab", "advgen.attacks", "image/mover = stranger:Mover")
    for ask in (lambda: registry.listing("attacks"), lambda: registry.create("attacks", "image/mover")):
        with pytest.raises(UserError, match=r"two attacks are called 'image/mover'") as caught:
            ask()
        assert "image/mover.py" in str(caught.value)
        assert "stranger_lab" in str(caught.value)


def test_module_colon_class_is_found_on_the_import_path(folder: Path, tmp_path: Path) -> None:
    add(tmp_path, "stranger.py", SOUND + "\n\nclass Second:\n    pass\n")
    assert type(registry.create("attacks", "stranger:Mover", steps=3)).__name__ == "Mover"
    del sys.modules["stranger"]


def test_module_colon_class_does_not_import_the_parents_to_describe(folder: Path, tmp_path: Path) -> None:
    package = tmp_path / "heavy_parent"
    package.mkdir()
    (package / "__init__.py").write_text('raise RuntimeError("imported")')
    add(package, "mover.py", SOUND)
    assert registry.describe("attacks", "heavy_parent.mover:Mover").summary == "Moves pixels by a fixed step."


def test_a_file_of_the_current_folder_is_not_a_module(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    add(work, "mine.py", SOUND)
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])
    before = list(sys.path)
    with pytest.raises(UnknownName, match=r"current folder is not on it: write `path/to/file\.py:Mover`"):
        registry.create("attacks", "mine:Mover")
    assert registry.create("attacks", "mine.py:Mover", steps=7).steps == 7
    assert sys.path == before


def test_a_file_is_loaded_once_so_that_its_classes_stay_the_same(folder: Path, tmp_path: Path) -> None:
    add(tmp_path, "mine.py", SOUND)
    address = f"{tmp_path / 'mine.py'}:Mover"
    assert registry.load_class("attacks", address) is registry.load_class("attacks", address)


def test_a_file_that_was_changed_is_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("answer = 1\n")
    assert registry.load_file(file).answer == 1
    file.write_text("answer = 2\n")
    assert registry.load_file(file).answer == 2


def test_a_file_that_does_not_parse_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\ndef (\n")
    with pytest.raises(BadFile, match=r"mine\.py, line 2: does not parse"):
        registry.load_file(tmp_path / "mine.py")


def test_a_missing_file_is_said(folder: Path) -> None:
    with pytest.raises(MissingFile, match=r"there is no file 'gone\.py'"):
        registry.create("attacks", "gone.py:Mover")


def test_a_package_that_a_plugin_needs_is_named(folder: Path) -> None:
    add(folder, "mover.py", SOUND.replace("raise_if_imported = 1", "import no_such_package"))
    with pytest.raises(BadFile, match="needs the package 'no_such_package', which is not installed"):
        registry.load_class("attacks", "image/mover")


def test_a_yaml_study_is_summed_up_by_its_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = tmp_path / "yaml_studies"
    studies.mkdir()
    (studies / "__init__.py").write_text("")
    (studies / "one.yaml").write_text('question: "Does it hold?"\n')
    (studies / "two.yaml").write_text("question: >\n  Does it\n  fold?\n")
    (studies / "three.yaml").write_text("# Does it bend?\nname: three\n")
    (studies / "four.yaml").write_text("name: four\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry.KINDS, "studies", registry.KINDS["studies"]._replace(package="yaml_studies"))
    found = {p.name: p.summary or p.broken for p in registry.listing("studies")}
    assert found["one"] == "Does it hold?"
    assert found["two"] == "Does it"
    assert found["three"] == "Does it bend?"
    assert "no question" in found["four"]


def test_targets_are_the_weights_of_classifiers_and_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "zoo_like" / "weights"
    weights.mkdir(parents=True)
    (weights.parent / "__init__.py").write_text("")
    card = Card("a", "classifier", "digits", {}, 0, "", "", {}, {}, "MIT")
    (weights / "digits.json").write_text(json.dumps(card._asdict()))
    (weights / "dae.json").write_text(json.dumps(card._replace(kind="autoencoder")._asdict()))
    (weights / "cut.json").write_text('{"name":')
    monkeypatch.syspath_prepend(str(tmp_path))
    for kind in ("targets", "weights"):
        monkeypatch.setitem(registry.KINDS, kind, registry.KINDS[kind]._replace(package="zoo_like"))
    assert [p.name for p in registry.listing("weights")] == ["cut", "dae", "digits"]
    assert [p.name for p in registry.listing("targets") if not p.broken] == ["digits"]
    assert registry.describe("weights", "digits").summary == "classifier by recipe digits"


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("False", "bool", False),
        ("true", "bool", True),
        ("40", "int", 40),
        (40.0, "int", 40),
        ("8/255", "float", 8 / 255),
        (3, "float", 3.0),
        ("none", "float | None", None),
        (None, "float | None", None),
        ("0.1", "Optional[float]", 0.1),
        ("sign", "Literal['sign', 'raw']", "sign"),
        ("2", "Literal[1, 2]", 2),
        (32, "Literal['32', 'bf16']", "32"),
        (None, "Literal['random', 'none']", "none"),
        ("1,2,3", "tuple[int, ...]", (1, 2, 3)),
        ([1, 2], "tuple[float, float]", (1.0, 2.0)),
        ("auto", "int | str", "auto"),
        ("3", "int | str", 3),
        ("free", "str", "free"),
    ],
)
def test_values_take_the_type_of_the_annotation(value: object, annotation: str, expected: object) -> None:
    converted = convert(value, annotation, "x")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "sentence"),
    [
        ("no", "bool", "x must be true or false, got 'no'"),
        (1, "bool", "x must be true or false, got 1"),
        (True, "int", "x must be a number, got True"),
        (2.5, "int", "x must be a whole number, got 2.5"),
        ("forty", "int", "x must be a number such as"),
        ("8/0", "float", "division by zero"),
        ("nan", "float", "x must be finite"),
        ("forty", "float | None", "x must be a number such as"),
        ("sing", "Literal['sign', 'raw']", "did you mean 'sign'"),
        (3, "Literal[1, 2]", "x must be one of 1, 2, got 3"),
        (3, "str", "x must be text, got 3"),
        ("1,2,3", "tuple[int, int]", "x must hold 2 values, got 3"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_in_a_sentence(value: object, annotation: str, sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        convert(value, annotation, "x")


@pytest.mark.parametrize("source", ["__import__('os')", "STEPS", "2 ** 10000", "1 / 0", "[x for x in ()]"])
def test_only_literals_and_arithmetic_are_evaluated(source: str) -> None:
    with pytest.raises(NotLiteral):
        value_of(source)


def test_a_folder_is_one_generator_summed_up_by_its_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "whole/__init__.py": '"""A network in several files.\n\nSomebody 2020."""\nraise_if_imported = 1 / 0\n',
        "whole/layers.py": '"""A part of it."""\n',
        "silent/__init__.py": "",
        "_private/__init__.py": '"""Nobody\'s."""\n',
        "no_package/part.py": '"""Nothing."""\n',
        "single.py": '"""A network in one file."""\n',
        "__init__.py": "",
    }.items():
        path = tmp_path / "zoo_of_tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.KINDS, "generators", registry.KINDS["generators"]._replace(package="zoo_of_tests"))
    found = {p.name: p for p in registry.listing("generators")}
    assert {name: p.summary for name, p in found.items() if not p.broken} == {
        "whole": "A network in several files.",
        "single": "A network in one file.",
    }
    assert "no docstring" in found["silent"].broken
    assert set(found) == {"whole", "single", "silent"}


def test_stylegan2_is_a_generator() -> None:
    plugin = registry.describe("generators", "stylegan2")
    assert not plugin.broken
    assert "StyleGAN2" in plugin.summary


def test_the_shipped_plugins_are_sound() -> None:
    broken = [(p.file, p.line, p.broken) for kind in registry.KINDS for p in registry.listing(kind) if p.broken]
    assert broken == []


def test_importing_the_registry_is_light() -> None:
    code = "import sys, advgen.core.registry as r; r.listing('attacks'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pydantic", "rich", "click"} & set(done.stdout.split())
