"""What makes or steers pictures never sees the networks that judge them."""

from pathlib import Path

JUDGES = ("judge_attributes", "judge_identity", "experiments.edits", "portrait-resnet")
MAKERS = ("attacks", "defenses", "embeddings", "advgen/editing", "advgen/inversion", "advgen/generators")
MAKING_RECIPES = (
    "stylegan2*.py",
    "mapper*.py",
    "text_to_latent*.py",
    "clip*.py",
    "_gan*.py",
    "avatars_*.py",
    "matcher*.py",
)


def test_nothing_that_makes_pictures_names_a_judge(root: Path) -> None:
    files = [file for folder in MAKERS for file in (root / folder).rglob("*.py")]
    files += [file for pattern in MAKING_RECIPES for file in (root / "experiments/recipes").glob(pattern)]
    assert len(files) > 50
    wrong = [f"{file}: {name}" for file in files for name in JUDGES if name in file.read_text(encoding="utf-8")]
    assert wrong == []


def test_no_study_attacks_or_transfers_from_the_oracle_of_validity(root: Path) -> None:
    """A run refuses it too; here it is found before anything runs."""
    for file in (root / "experiments/studies").glob("*.py"):
        assert "judge_attributes" not in file.read_text(encoding="utf-8"), file


def test_only_judging_asks_for_the_oracle(root: Path) -> None:
    asking = {
        file.relative_to(root).as_posix()
        for folder in ("advgen", "attacks", "defenses", "experiments")
        for file in (root / folder).rglob("*.py")
        if ".oracle()" in file.read_text(encoding="utf-8")
    }
    assert asking == {"experiments/validity.py"}
