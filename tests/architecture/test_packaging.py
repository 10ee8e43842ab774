"""What is in the folders is in the wheel, and the wheel lives beside strangers."""

import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from advgen.core import registry

FOLDERS = {
    "advgen": "advgen",
    "advgen.attacks": "attacks",
    "advgen.defenses": "defenses",
    "advgen.embeddings": "embeddings",
    "advgen.experiments": "experiments",
}
REFUSED = {"util", "utils", "helper", "helpers", "common", "misc"}


@pytest.fixture(scope="module")
def setuptools(root: Path) -> dict[str, object]:
    return tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]


def in_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """(package, file) of every file under the five folders."""
    for package, folder in FOLDERS.items():
        for file in sorted((root / folder).rglob("*")):
            inside = file.relative_to(root / folder)
            if file.is_file() and not any(p == "__pycache__" or p.startswith(".") for p in inside.parts):
                yield ".".join([package, *inside.parent.parts]), file


def test_the_five_folders_are_mapped_to_their_names(setuptools: dict[str, object]) -> None:
    assert setuptools["package-dir"] == FOLDERS


def test_every_folder_with_code_is_packaged(setuptools: dict[str, object], root: Path) -> None:
    """A family without its line in pyproject.toml is missing from the wheel in silence."""
    packages = {package for package, file in in_folders(root) if file.suffix == ".py"}
    assert set(setuptools["packages"]) == packages
    assert {p for p, file in in_folders(root) if file.name == "__init__.py"} == packages


def test_every_file_that_is_not_code_is_packaged(setuptools: dict[str, object], root: Path) -> None:
    packages, data = set(setuptools["packages"]), setuptools["package-data"]
    left_out = []
    for package, file in in_folders(root):
        if file.suffix in (".py", ".nbi", ".nbc"):  # numba's cache lies beside the code
            continue
        owner = package
        while owner not in packages:
            owner = owner.rpartition(".")[0]
        inside = "/".join([*package.removeprefix(owner).strip(".").split("."), file.name]).lstrip("/")
        if not any(fnmatch.fnmatch(inside, pattern) for pattern in data.get(owner, [])):
            left_out.append(f"{owner}: {inside}")
    assert left_out == []


def test_names_that_say_nothing_are_refused(root: Path) -> None:
    named = [*in_folders(root), *(("", f) for d in ("tests", "benchmarks") for f in (root / d).rglob("*.py"))]
    assert [str(f) for _, f in named if REFUSED & {f.stem, *f.relative_to(root).parent.parts}] == []


def test_tests_stand_in_folders_without_init(root: Path) -> None:
    assert list((root / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("kind", [k for k, place in registry.KINDS.items() if place.class_required])
def test_plugin_classes_are_final(kind: str) -> None:
    for plugin in registry.listing(kind):
        assert not plugin.broken, f"{plugin.file}, line {plugin.line}: {plugin.broken}"
        above = Path(plugin.file).read_text().partition(f"\nclass {plugin.class_name}")[0].splitlines()[-3:]
        assert "@final" in above, plugin.file


def test_the_constraints_pin_what_the_ranges_allow(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(r) for r in [*project["dependencies"], *extras["peers"], *extras["cluster"], *extras["test"]]]
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    assert set(pinned) == {r.name for r in wanted}
    assert [str(r) for r in wanted if pinned[r.name] not in r.specifier] == []


@pytest.fixture(scope="module")
def committed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the last commit: beside the checkout a stale build/lib would bring deleted plug-ins back."""
    if not (root / ".git").exists():
        pytest.skip("needs a git checkout, to build from what is committed")
    work = tmp_path_factory.mktemp("committed")
    with (work / "source.tar").open("wb") as file:
        subprocess.run(["git", "-C", str(root), "archive", "HEAD"], stdout=file, check=True)
    with tarfile.open(work / "source.tar") as archive:
        archive.extractall(work / "source", filter="data")
    return work / "source"


@pytest.fixture(scope="module")
def wheel(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(committed, work / "source")  # setuptools leaves its build/ there
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(work), str(copy)], check=True, capture_output=True)
    (built,) = work.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed into a folder that holds a foreign package `embeddings`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "embeddings").mkdir()
    (folder / "embeddings" / "__init__.py").write_text("foreign = True\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return folder


def run_beside_strangers(site: Path, work: Path, code: str) -> str:
    """What `code` prints from a folder with its own attacks/ and experiments/."""
    for name in ("attacks", "experiments"):
        (work / name / "image").mkdir(parents=True, exist_ok=True)
        (work / name / "__init__.py").write_text("raise RuntimeError('foreign')\n")
        (work / name / "image" / "foreign.py").write_text("raise RuntimeError('foreign')\n")
    path = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_brings_nothing_generic(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"advgen"}


@pytest.mark.slow
def test_the_wheel_holds_every_file_that_is_committed(wheel: Path, committed: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    folders = {package.replace(".", "/"): committed / folder for package, folder in FOLDERS.items()}
    wanted = {
        f"{package}/{file.relative_to(folder).as_posix()}"
        for package, folder in folders.items()
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert wanted - packed == set()


@pytest.mark.slow
def test_the_wheel_lists_its_plugins_beside_strangers(site: Path, tmp_path: Path) -> None:
    code = (
        "import sys, advgen; from advgen.cli.main import main; rc = main(['list', '{kind}', '--json']); assert rc == 0"
    )
    for kind in ("attacks", "data", "studies"):
        listed = json.loads(run_beside_strangers(site, tmp_path, code.format(kind=kind)))
        assert all(Path(p["file"]).is_relative_to(site / "advgen") for p in listed)
        assert [p["name"] for p in listed if p["broken"]] == []
        if kind == "attacks":
            assert "image/pgd" in [p["name"] for p in listed]
            assert "image/foreign" not in [p["name"] for p in listed]


@pytest.mark.slow
def test_the_wheel_loads_its_attack_and_leaves_the_foreign_package(site: Path, tmp_path: Path) -> None:
    code = (
        "import embeddings; assert embeddings.foreign\n"
        "from advgen.core.registry import load_class\n"
        "import sys, advgen.embeddings\n"
        "print(sys.modules[load_class('attacks', 'image/pgd').__module__].__file__)\n"
        "print(advgen.embeddings.__file__)\n"
    )
    for file in run_beside_strangers(site, tmp_path, code).split():
        assert Path(file).is_relative_to(site / "advgen")
