"""The page of a run: one file that needs no network, and the tables beside it.

Order: question, claims, warnings; of attacks: matrix, numbers, validity, curves, distances, detectors, real or
generated, pictures; of measurements: tables, plots, pictures; then cost and environment.
"""

from collections.abc import Callable
from pathlib import Path

from advgen.core.errors import RunFolder, UserError
from advgen.core.files import write_atomically
from advgen.experiments.report import fakes, figures, made, measured, pictures, sections, validity
from advgen.experiments.report.latex import matrix_tex, measured_tex
from advgen.experiments.report.markup import Markup, join, note, section, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.store import Store

# Nothing is fetched and nothing runs, whatever a name from outside may hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
Part = tuple[str, str, Callable[[RunView], Markup]]
FIRST: tuple[Part, ...] = (("claims", "Claims", sections.verdicts), ("warnings", "Warnings", sections.warnings))
ATTACKS: tuple[Part, ...] = (
    ("matrix", "Matrix", sections.matrix),
    ("table", "All numbers", sections.full_table),
    ("validity", "Validity", validity.validity),
    ("curves", "Curves", figures.curves),
    ("distances", "Distances", figures.distances),
    ("detectors", "Detectors", figures.detectors),
    ("fakes", "Real or generated", fakes.fakes),
    ("pictures", "Pictures", pictures.strips),
)
MEASURED: tuple[Part, ...] = (
    ("measured", "Measured", measured.tables),
    ("plots", "Plots", measured.plots),
    ("shots", "Pictures", measured.shots),
)
LAST: tuple[Part, ...] = (("cost", "Cost", made.cost), ("environment", "Environment", made.environment))


def build(store: Store, path: str | Path | None = None) -> Path:
    """Writes the page of a run, and its tables beside it; returns where the page lies.

    Without `path` it is `report.html` in the run's folder, with study.yaml, of attacks also rows.parquet, rows.csv,
    table.csv and table.tex, of measurements readings.parquet, readings.csv, curves.csv, measured.csv and measured.tex;
    another path's files carry its name.

    Raises:
        RunFolder: the run cannot be read, or the page cannot be written.
    """
    return build_view(RunView(store), path)


def build_view(view: RunView, path: str | Path | None = None) -> Path:
    """The same for a run that is already read."""
    store = view.store
    page = store.folder / "report.html" if path is None else Path(path)
    before = "" if path is None else f"{page.stem}-"
    write_atomically(page, html(view).encode())
    beside = {"study.yaml": made.study_yaml(view).encode()}
    if len(view.rows):
        beside |= {
            "rows.csv": view.rows.to_csv(index=False).encode(),
            "rows.parquet": view.rows.to_parquet(index=False),
            "table.csv": view.table.to_csv(index=False).encode(),
            "table.tex": matrix_tex(view.matrix).encode(),
        }
    if view.measured and view.observed is not None:
        read = view.observed.read
        beside |= {
            "readings.csv": read.readings.to_csv(index=False).encode(),
            "readings.parquet": read.readings.to_parquet(index=False),
            "measured.csv": view.means.to_csv(index=False).encode(),
            "measured.tex": measured_tex(view.means, view.quantities).encode(),
        }
        if len(read.curves):
            beside["curves.csv"] = read.curves.to_csv(index=False).encode()
    for name, data in beside.items():
        write_atomically(page.parent / f"{before}{name}", data)
    return page


def html(view: RunView) -> str:
    """The whole page."""
    if not view.study:
        raise RunFolder(f"{str(view.store.folder)!r} holds no study.json; it is no run folder.")
    parts = [*FIRST, *(ATTACKS if view.attacks else ()), *(MEASURED if view.measures else ()), *LAST]
    drawn_parts = [_told(view, anchor, title, part) for anchor, title, part in parts]
    there = [(anchor, title, drawn) for (anchor, title, _), drawn in zip(parts, drawn_parts, strict=True) if drawn]
    return document(
        f"{view.study['name']}: {view.study['question']}",
        sections.head(view),
        tag("nav", [tag("a", title, href=f"#{anchor}") for anchor, title, _ in there], aria_label="Parts of the page"),
        tag("main", [drawn for _, _, drawn in there]),
    )


def document(title: str, *body: Markup) -> str:
    """A self-contained HTML document."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    foot = tag("footer", "Made by advgen. This page is one file: no script, no network.")
    return "<!doctype html>\n" + tag("html", head, tag("body", join(body), foot), lang="en") + "\n"


def _told(view: RunView, anchor: str, title: str, part: Callable[[RunView], Markup]) -> Markup:
    """A part of the page; where the rows do not carry it, the sentence that says why."""
    try:
        return part(view)
    except UserError as error:
        return section(anchor, title, note(f"Not shown: {error}"))
