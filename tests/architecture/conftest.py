"""The whole as the import graph sees it."""

import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ("attacks", "defenses", "embeddings", "experiments")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> grimp.ImportGraph:
    """All imports of `advgen`, those in functions too, over a tree of links that looks as an installed package does."""
    tree = tmp_path_factory.mktemp("tree") / "advgen"
    tree.mkdir()
    for path in [*(ROOT / "advgen").iterdir(), *(ROOT / name for name in BESIDE)]:
        (tree / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tree.parent))
        # grimp asks find_spec, which answers with the module that is already imported: half of the tree, in silence.
        patch.delitem(sys.modules, "advgen", raising=False)
        return grimp.build_graph(
            "advgen", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
        )
