"""Whatever writes a made picture writes how it was made: there is no call, and no option, that leaves it out."""

import ast
from pathlib import Path

MAKERS = (
    "advgen/cli",
    "advgen/editing",
    "advgen/generators",
    "advgen/inversion",
    "attacks",
    "experiments/attacked.py",
    "experiments/deepfakes.py",
)


def test_every_picture_that_a_maker_saves_carries_its_provenance(root: Path) -> None:
    saved = 0
    for place in MAKERS:
        for file in (root / place).rglob("*.py") if (root / place).is_dir() else [root / place]:
            if not file.exists():
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _name(node.func) == "save_png":
                    saved += 1
                    given = [k.value for k in node.keywords if k.arg == "provenance"]
                    assert given, f"{file}:{node.lineno} saves a picture without provenance"
                    assert not (isinstance(given[0], ast.Constant) and given[0].value is None), f"{file}:{node.lineno}"
    assert saved >= 6


def test_no_maker_writes_pictures_past_the_one_place(root: Path) -> None:
    for place in MAKERS:
        for file in (root / place).rglob("*.py") if (root / place).is_dir() else [root / place]:
            if file.exists():
                text = file.read_text(encoding="utf-8")
                assert '.save(path, "PNG"' not in text, file
                assert "png_bytes(" not in text.replace("from_png_bytes(", ""), file


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
