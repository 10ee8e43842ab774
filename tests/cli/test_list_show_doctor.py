"""The command shell: light, one sentence for a fault of the user's, and a page for everything that can be listed."""

import errno
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from PIL import Image, PngImagePlugin

from advgen.cli import main as shell
from advgen.cli._options import printable, shortened, width
from advgen.cli.main import advgen, main, summary_of
from advgen.core import registry
from advgen.core.errors import StrictFailure, UserError
from advgen.core.provenance import Provenance, Source, signed

COMMANDS = sorted(f for f in Path(shell.__file__).parent.glob("*.py") if not f.name.startswith(("_", "main")))
HEAVY = {"torch", "torchvision", "numpy", "pydantic", "rich", "pandas", "pyarrow", "PIL"}


@pytest.mark.parametrize("argv", [["--help"], ["list", "attacks"], ["list"], ["show", "image/pgd"]])
def test_help_and_lists_import_nothing_heavy(argv: list[str]) -> None:
    code = (
        f"import sys; from advgen.cli.main import main; rc = main({argv!r}); print(rc, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split()
    assert code == "0"
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("argv", [["--help"], ["list", "attacks"]])
def test_help_and_lists_take_under_three_tenths_of_a_second_of_cpu_time(argv: list[str]) -> None:
    """CPU time, best of 5: it waits for nothing, so this is its wall time on a machine that is not busy with others."""
    resource = pytest.importorskip("resource", reason="needs a system that counts its children's CPU time")

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once() -> float:
        before = spent()
        subprocess.run([sys.executable, "-m", "advgen.cli.main", *argv], capture_output=True, check=True)
        return spent() - before

    assert min(once() for _ in range(5)) < 0.3


@pytest.mark.parametrize("file", COMMANDS, ids=lambda f: f.stem)
def test_the_help_line_of_a_command_is_its_own(file: Path) -> None:
    command = importlib.import_module(f"advgen.cli.{file.stem}").command
    assert isinstance(command, click.Command)
    assert command.name == file.stem.replace("_", "-")
    assert (command.help or "").partition("\n")[0].strip() == summary_of(file)


@pytest.mark.parametrize("file", COMMANDS, ids=lambda f: f.stem)
def test_the_help_of_a_command_shows_two_examples(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = file.stem.replace("_", "-")
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"  advgen {name}") >= 2


def test_every_command_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for file in COMMANDS:
        assert f"\n  {file.stem.replace('_', '-')} " in shown


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["lst"], "unknown command 'lst': did you mean 'list'?"),
        (["list", "atacks"], "unknown kind 'atacks': did you mean 'attacks'?"),
        (["list", "--jsn"], "--json"),
        (["show"], "Missing argument 'NAME_OR_FILE'"),
        (["show", "image/pdg"], "did you mean 'image/pgd'?"),
        (["show", "--kind", "defenses", "purify/jpg"], "unknown defense 'purify/jpg'"),
        (["doctor", "--plugin", "no_such_module:X"], "there is no Python source of module 'no_such_module'"),
    ],
)
def test_a_fault_of_the_users_is_one_sentence_and_two(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("advgen: ")
    assert captured.err.count("\n") == 1
    assert sentence in captured.err


@pytest.mark.parametrize(
    ("raised", "code", "sentence"),
    [
        (UserError("the study is empty."), 2, "advgen: the study is empty."),
        (StrictFailure("claim 1 failed."), 1, "advgen: claim 1 failed."),
        (KeyboardInterrupt(), 130, "advgen: interrupted"),
        (click.Abort(), 130, "advgen: interrupted"),
        (OSError(errno.ENOSPC, "No space", "runs/x"), 2, "advgen: no space left on the disk: runs/x."),
        (OSError(errno.EROFS, "Read-only", "runs/x"), 2, "advgen: the file system is read-only: runs/x."),
        (PermissionError(errno.EACCES, "Denied", "runs/x"), 2, "advgen: permission denied: runs/x."),
    ],
)
def test_what_escapes_a_command_decides_the_exit_code(
    raised: BaseException, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(ctx: click.Context) -> None:
        raise raised

    monkeypatch.setattr(shell, "_silence_stdout", lambda: None)
    monkeypatch.setattr(advgen, "invoke", fail)
    assert main(["list"]) == code
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.parametrize("raised", [ValueError("ours"), FileNotFoundError(errno.ENOENT, "gone", "x")])
def test_a_fault_of_ours_keeps_its_traceback(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ctx: click.Context) -> None:
        raise raised

    monkeypatch.setattr(advgen, "invoke", fail)
    with pytest.raises(type(raised)):
        main(["list"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "advgen.cli.main", "list"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"advgen: no space left on the disk.\n"


def test_a_reader_that_leaves_is_not_complained_about() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "advgen.cli.main", "list"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == shell.BROKEN_PIPE


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_is_listed_for_readers_and_machines(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert main(["list", kind]) == 0
    shown = capsys.readouterr().out
    assert [p["name"] for p in listed] == [line.split("  ")[0] for line in shown.splitlines()[1:]]


def test_a_broken_plugin_is_marked_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = tmp_path / "broken_lab" / "image"
    family.mkdir(parents=True)
    (tmp_path / "broken_lab" / "__init__.py").write_text("")
    (family / "half.py").write_text('"""Half a file."""\n\ndef (\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry.KINDS, "attacks", registry.KINDS["attacks"]._replace(package="broken_lab"))
    assert main(["list", "attacks"]) == 0
    shown = capsys.readouterr().out
    assert "image/half" in shown
    assert f"BROKEN {family / 'half.py'}, line 3: does not parse" in shown


def test_the_page_of_a_plugin_shows_its_defaults_and_their_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "image/pgd"]) == 0
    shown = capsys.readouterr().out
    plugin = registry.describe("attacks", "image/pgd")
    assert plugin.summary in shown
    assert plugin.literals["paper"] in shown
    for field in plugin.arguments:
        assert f"{field.name} = {field.default}" in shown
        assert field.comment in shown


def test_the_page_of_a_picture_shows_its_size_and_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("made_by", "somebody\x1b[31m")
    Image.new("RGB", (7, 5)).save(tmp_path / "a.png", pnginfo=about)
    assert main(["show", str(tmp_path / "a.png")]) == 0
    shown = capsys.readouterr().out
    assert "7 x 5" in shown
    assert "metadata made_by" in shown
    assert "\x1b" not in shown


def test_the_page_of_a_made_picture_says_how_it_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.png"
    made = Provenance("trainedAlgorithmicMedia", "advgen edit", {"text": "red\x1b[31m hair"}, (Source("me.png", "ab"),))
    Image.new("RGB", (9, 9)).save(file)
    file.write_bytes(signed(file.read_bytes(), made))
    assert main(["show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "made by a trained generative model (trainedAlgorithmicMedia)" in shown
    assert "me.png, SHA-256 ab" in shown
    assert "\x1b" not in shown


def test_a_damaged_provenance_is_told_beside_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.png"
    about = PngImagePlugin.PngInfo()
    about.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta")
    Image.new("RGB", (9, 9)).save(file, pnginfo=about)
    assert main(["show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "9 x 9" in shown
    assert "unreadable: its XMP packet is no XML" in shown


def test_the_page_of_a_checkpoint_shows_its_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = json.dumps({"w": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
    file = tmp_path / "net.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    assert main(["show", str(file), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert (alone["numbers"], alone["types"]) == (6, ["F16"])
    assert "is missing" in alone["card"]
    (tmp_path / "net.json").write_text('{"recipe": "digits"}')
    assert main(["show", str(file)]) == 0
    assert "digits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.png", b"plain text", "is not a picture"),
        ("a.safetensors", b"\xff" * 40, "header does not fit"),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0[]", "not a JSON object"),
        ("a.safetensors", b'\x08\0\0\0\0\0\0\0{"w":{}}', "a tensor in its header lacks"),
        ("a.safetensors", b"", "is not a safetensors file"),
        ("a.pt", b"PK\x03\x04", "pickle"),
        ("a.json", b"{", "does not hold JSON"),
        ("a.txt", b"hello", "is not a picture, a .safetensors file or a card"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_one_sentence(
    name: str, content: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["show", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_a_truncated_picture_is_said_to_be_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:1000])
    assert main(["show", str(cut)]) == 2
    assert "truncated or damaged" in capsys.readouterr().err


def test_doctor_names_missing_weights_and_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADVGEN_DATA", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("advgen.core.checkpoints._hub", lambda: tmp_path / "hub")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    squeeze = next(w for w in found["weights"] if w["name"] == "squeezenet1_1")
    assert squeeze["path"] is None
    assert str(tmp_path / "weights") in squeeze["remedy"]
    assert all(d["version"] for d in found["dependencies"] if d["extra"] is None)


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_doctor_shows_every_contract_and_fails_under_strict(
    strict: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from advgen.contracts import run
    from advgen.contracts.contract import Result

    results = [Result("takes_no_images", "passed"), Result("keeps_shape", "failed", "returned (1, 3) of (2, 3)")]
    monkeypatch.setattr(run, "check_plugin", lambda plugin: results if plugin.__name__ == "PGD" else [])
    assert main(["doctor", "--plugin", "image/pgd", *strict]) == code
    captured = capsys.readouterr()
    assert "keeps_shape      failed   returned (1, 3) of (2, 3)" in captured.out
    assert captured.err == ("advgen: image/pgd fails 1 of 2 contracts: keeps_shape.\n" if strict else "")


def test_width_counts_the_columns_of_a_terminal() -> None:
    assert [width("ab"), width("日本"), width("e\u0301")] == [2, 4, 1]
    assert shortened("日本語", 5) == "日本…"
    assert printable("a\x1b[31m\u202eb\nc") == "a[31mb c"


def test_show_imports_nothing_of_a_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    fields = "@dataclass(frozen=True)\nclass A:\n    n: int = 1\n"
    file.write_text(f'"""Mine."""\nfrom dataclasses import dataclass\nraise RuntimeError\n{fields}')
    assert main(["show", f"{file}:A"]) == 0
    assert "n = 1" in capsys.readouterr().out
