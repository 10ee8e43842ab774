"""The metrics that are listed are sound, documented, and cost nothing to list."""

import re
import subprocess
import sys
from pathlib import Path

from advgen.core import registry

DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_every_metric_has_a_summary_and_an_entry_in_the_docs() -> None:
    listed = registry.listing("metrics")
    assert [plugin.name for plugin in listed if plugin.broken or len(plugin.summary) > 120] == []
    assert set(re.findall(r"^## (\w+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)) == {p.name for p in listed}


def test_the_package_itself_imports_no_torch() -> None:
    code = "import sys, advgen.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
