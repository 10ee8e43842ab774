"""The 23 warnings of an evaluation that looks too good: run them all, and say which could not run.

`docs/warnings.md` has an entry each: raised if, means, do.
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from advgen.experiments import checks_attacks, checks_setting
from advgen.experiments.columns import COLUMNS
from advgen.experiments.evidence import Cells, CheckWarning, Evidence, NotRun
from advgen.experiments.rates import require_columns

FOR_ANY_STUDY = (11, 16)  # the others look at attacked images
Check = Callable[[Cells, Evidence], CheckWarning | NotRun | None]


class Checked(NamedTuple):
    """What all checks found; for attacks every number from 1 to 23 is in exactly one of the three."""

    warnings: tuple[CheckWarning, ...]
    quiet: tuple[int, ...]  # looked and found nothing
    not_run: tuple[tuple[int, str, str], ...]  # number, name, what was missing


def all_checks() -> dict[int, Check]:
    """Every check by its number, from the names `check_NN_...`."""
    found = {}
    for module in (checks_attacks, checks_setting):
        for name, check in vars(module).items():
            if name.startswith("check_"):
                found[int(name.split("_")[1])] = check
    return dict(sorted(found.items()))


def name_of(check: Check) -> str:
    """The check's name in words."""
    return check.__name__.split("_", 2)[2].replace("_", " ")


def run_checks(rows: pd.DataFrame, evidence: Evidence | None = None, *, attacks: bool = True) -> Checked:
    """All checks over one run's rows; without evidence, those that need some are listed as not run.

    A study without `attacks` is asked only what concerns any study.

    Raises:
        BadArgument: the table lacks a column.
    """
    require_columns(rows, list(COLUMNS))
    cells, evidence = Cells(rows.reset_index(drop=True)), evidence or Evidence()
    warnings, quiet, not_run = [], [], []
    for number, check in all_checks().items():
        if not attacks and number not in FOR_ANY_STUDY:
            continue
        found = check(cells, evidence) if len(rows) or not attacks else NotRun("there are no rows.")
        if isinstance(found, CheckWarning):
            warnings.append(found)
        elif isinstance(found, NotRun):
            not_run.append((number, name_of(check), found.reason))
        else:
            quiet.append(number)
    return Checked(tuple(warnings), tuple(quiet), tuple(not_run))
