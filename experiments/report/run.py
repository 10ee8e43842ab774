"""Everything that a page tells, read once from the store."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from advgen.core.specs import Cell, DataSpec
from advgen.experiments.measured import Quantity
from advgen.experiments.observed import Observed, observe
from advgen.experiments.readings import summary
from advgen.experiments.store import Store
from advgen.experiments.store_readings import Stored, failures, measurements
from advgen.experiments.tables import MatrixLine, knowledge_matrix, rates_table


@dataclass(frozen=True)
class RunView:
    """A run as its page sees it; a run without a finished cell has no rows."""

    store: Store

    @cached_property
    def study(self) -> dict[str, Any]:
        return dict(self.store.read_json("study.json") or {})

    @cached_property
    def environment(self) -> dict[str, Any]:
        return dict(self.store.read_json("environment.json") or {})

    @cached_property
    def yardsticks(self) -> dict[str, Any]:
        return dict(self.store.read_json("yardsticks.json") or {})

    @cached_property
    def planned(self) -> int:
        """Cells that the last command meant to run."""
        return len(self.store.read_json("cells.json") or ())

    @cached_property
    def cells(self) -> dict[str, tuple[Cell, dict[str, Any]]]:
        """Finished cells of the last command, by key."""
        wanted = self.store.read_json("cells.json")
        return {key: (c, meta) for key, c, meta in self.store.cells() if wanted is None or key in wanted}

    @cached_property
    def measured(self) -> list[Stored]:
        """Finished measurements of the last command, in the order of the study."""
        return list(measurements(self.store))

    @cached_property
    def failed(self) -> list[tuple[str, str]]:
        """Measurements that broke off, each with its sentence."""
        return failures(self.store)

    @property
    def attacks(self) -> bool:
        """Whether the study has attack cells, finished or not; runs of finished images have no grid."""
        told = self.study.get("study", {})
        return bool(self.cells or told.get("grids")) or not told.get("measurements")

    @property
    def measures(self) -> bool:
        """Whether the study has measurements, finished or not."""
        return bool(self.measured or self.study.get("study", {}).get("measurements"))

    @cached_property
    def observed(self) -> Observed | None:
        return observe(self.store) if self.cells or self.measured else None

    @cached_property
    def quantities(self) -> dict[tuple[str, str], Quantity]:
        """What was read, by measure and name, in the order in which the measures declare it."""
        return {(s.measurement.measure.name, n): q for s in self.measured for n, q in s.quantities.items()}

    @cached_property
    def means(self) -> pd.DataFrame:
        """A line for each arm and quantity."""
        return pd.DataFrame() if self.observed is None else summary(self.observed.read.readings, self.quantities)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Judged rows; where one name stands for several slices, `data` says which."""
        if self.observed is None:
            return pd.DataFrame()
        rows = self.observed.rows
        if not len(rows):
            return pd.DataFrame()
        slices: dict[tuple[str, str], set[DataSpec]] = {}
        for cell, _ in self.cells.values():
            slices.setdefault((cell.data.name, cell.data.split), set()).add(cell.data)
        several = {key for key, (c, _) in self.cells.items() if len(slices[c.data.name, c.data.split]) > 1}
        if not several:
            return rows
        exact = rows["cell_key"].map({key: _exact(self.cells[key][0].data) for key in several})
        return rows.assign(data=exact.where(exact.notna(), rows["data"]))

    @cached_property
    def table(self) -> pd.DataFrame:
        return rates_table(self.rows) if len(self.rows) else pd.DataFrame()

    @cached_property
    def matrix(self) -> list[MatrixLine]:
        return knowledge_matrix(self.rows) if len(self.rows) else []

    @cached_property
    def lpips(self) -> str:
        """LPIPS by the backbone that measured it; the embedded one is not the published LPIPS."""
        nets = sorted({str(n) for n in self.rows["lpips_net"].dropna()}) if len(self.rows) else []
        told = ["embedded, not the published one" if n == "embedded" else n for n in nets]
        return f"LPIPS ({', '.join(told)})" if told else "LPIPS"

    @cached_property
    def _by_cell(self) -> dict[str, pd.DataFrame]:
        return {str(key): rows for key, rows in self.rows.groupby("cell_key", sort=False)} if len(self.rows) else {}

    def of(self, key: str) -> pd.DataFrame:
        """The rows of one cell."""
        return self._by_cell.get(key, self.rows.iloc[:0])

    def classes(self, key: str) -> list[str]:
        """The class names of a cell's target."""
        return [str(c) for c in self.cells[key][1].get("classes", ())]


def _exact(spec: DataSpec) -> str:
    """A slice with everything that tells it from others of its name."""
    args = ", ".join(f"{k} {v}" for k, v in spec.args)
    return f"{spec} ({args})" if args else str(spec)
