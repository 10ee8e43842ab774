"""The page: one file that nothing can break out of, with the numbers that the rows hold."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from advgen.core.errors import UserError
from advgen.core.specs import DataSpec
from advgen.experiments.report.build import build, html
from advgen.experiments.report.pictures import difference
from advgen.experiments.report.run import RunView
from advgen.experiments.store import Store

VOID = {"meta", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Tags in order, whether they close, and every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        given = dict(attrs)
        self.loads += [v or "" for k, v in attrs if k in ("src", "srcset", "data", "poster", "xlink:href")]
        self.handlers += [k for k in given if k.startswith("on")]
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if "href" in given else []
        if tag == "img" and not given.get("alt"):
            self.unnamed.append(tag)
        if tag == "svg" and not given.get("aria-label"):
            self.unnamed.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)


@pytest.fixture(scope="session")
def page_text(made) -> str:
    return build(made.store).read_text()


@pytest.fixture(scope="session")
def page(page_text) -> Page:
    parsed = Page()
    parsed.feed(page_text)
    return parsed


def test_every_tag_is_closed_in_order(page):
    assert page.open == []


def test_nothing_is_loaded_from_anywhere(page, page_text):
    assert page.loads
    assert all(source.startswith("data:image/png;base64,") for source in page.loads)
    assert all(link.startswith("#") for link in page.links)
    assert "url(" not in page_text
    assert "@import" not in page_text
    assert "Content-Security-Policy" in page_text


def test_a_name_from_outside_stays_text(page, page_text):
    assert "script" not in page.seen
    assert page.handlers == []
    assert "<script" not in page_text
    assert page_text.count("&lt;script&gt;alert(1)") > 3  # question, claim, class, card: told, not run


def test_every_part_of_the_contents_is_there(page):
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_picture_and_chart_has_words(page):
    assert page.unnamed == []


def test_parts_stand_in_the_order_of_reading(page):
    wanted = ["claims", "warnings", "matrix", "table", "curves", "distances", "detectors", "pictures", "cost",
              "environment"]  # fmt: skip
    assert [i for i in page.ids if i in wanted] == wanted


def test_each_claim_has_its_verdict_with_n_and_interval(page_text):
    assert "refuted" in page_text
    assert "untestable" in page_text
    assert re.search(r"robust accuracy \d+\.\d% \[\d+\.\d, \d+\.\d\]", page_text)


def test_a_question_changed_after_the_first_cell_is_stamped(made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(made.store.folder, folder)
    assert "post hoc" in html(RunView(Store(folder)))  # the planted hash is not that of the claims


def test_a_defense_without_adaptive_attack_is_stamped(page_text):
    assert page_text.count("non-adaptive") == 1


def test_the_detector_is_read_by_area_and_refuses_what_it_cannot_carry(page_text):
    part = page_text[page_text.index('id="detectors"') :]
    assert "AUC" in part
    assert "Refused" in part
    assert "needs at least" in part


def test_tables_beside_the_page_hold_every_row(made, page_text):
    folder = made.store.folder
    rows = made.store.rows()
    assert len(pd.read_parquet(folder / "rows.parquet")) == len(rows)
    assert len(pd.read_csv(folder / "rows.csv")) == len(rows)
    table = pd.read_csv(folder / "table.csv")
    assert len(table) >= rows["cell_key"].nunique()


def test_the_study_beside_the_page_is_the_study(made, page_text):
    from advgen.experiments.study import load

    again = load(str(made.store.folder / "study.yaml"))
    assert again.cells() == made.study.cells()
    assert [c.canonical() for c in again.claims] == [c.canonical() for c in made.study.claims]


def test_latex_is_escaped_and_whole(made, page_text, run_writer, tmp_path):
    from advgen.experiments.report.latex import matrix_tex
    from advgen.experiments.tables import knowledge_matrix

    rows = made.store.rows().assign(defense=lambda r: r["defense"].replace("purify/jpeg", r"my_jpeg 50% & {co} \x$#^~"))
    text = matrix_tex(knowledge_matrix(rows))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert r"my\_jpeg 50\% \& \{co\} \textbackslash{}x\$\#\textasciicircum{}\textasciitilde{}" in text
    for line in text.splitlines():
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == 5
            assert not re.search(r"(?<!\\)[%#_$]", line)


def test_another_path_carries_its_name_to_the_files_beside_it(made, tmp_path):
    page = build(made.store, tmp_path / "mine.html")
    assert page == tmp_path / "mine.html"
    assert {p.name for p in tmp_path.iterdir()} == {
        "mine.html", "mine-rows.csv", "mine-rows.parquet", "mine-table.csv", "mine-table.tex", "mine-study.yaml",
    }  # fmt: skip


def test_a_run_without_a_finished_cell_has_a_page_that_says_so(tmp_path, run_writer):
    made = run_writer(tmp_path / "run", left_out=1000)
    text = build(made.store).read_text()
    assert "unfinished" in text
    assert "0 of 18 cells" in text
    Page().feed(text)


def test_a_partial_run_has_a_page_that_says_what_is_missing(tmp_path, run_writer):
    made = run_writer(tmp_path / "run", left_out=14)
    text = build(made.store).read_text()
    assert "4 of 18 cells are finished" in text
    assert "not run" in text


def test_pictures_of_somebody_are_never_shown(tmp_path, run_writer):
    made = run_writer(tmp_path / "run", data=DataSpec("folder:/home/x/faces", "test", 40))
    text = build(made.store).read_text()
    parsed = Page()
    parsed.feed(text)
    assert parsed.loads == []
    assert "No pictures of folder faces are shown" in text
    assert "/home/x" not in text[: text.index('id="environment"')]


def test_a_folder_that_cannot_be_written_is_one_sentence(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        build(made.store, tmp_path / "file" / "page.html")


def test_the_difference_is_ten_times_as_strong_around_grey():
    import io

    def as_png(values):
        out = io.BytesIO()
        Image.fromarray(np.array(values, dtype=np.uint8)).save(out, "PNG")
        return out.getvalue()

    found = np.asarray(Image.open(io.BytesIO(difference(as_png([[10, 10, 10, 200]]), as_png([[10, 13, 8, 100]])))))
    assert found.tolist() == [[128, 158, 108, 0]]


def test_the_command_that_made_the_run_is_told(page_text):
    assert "advgen run x" in page_text


def test_a_study_made_in_python_is_told_as_a_file(tmp_path, run_writer):
    made = run_writer(tmp_path / "run")
    environment = made.store.read_json("environment.json")
    made.store.write_json("environment.json", {**environment, "command": "advgen -q tests"})
    assert "advgen run study.yaml" in html(RunView(made.store))


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1200])
def test_a_browser_shows_it_without_complaint(made, page_text, tmp_path: Path, width):
    browser = chromium()
    if browser is None:
        pytest.skip("needs chromium or google-chrome on the path")
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, 500)},1800", f"--screenshot={shot}",
         (made.store.folder / "report.html").as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "Refused to" not in done.stderr
    shown = np.asarray(Image.open(shot).convert("L"), dtype=float)
    assert shown.std() > 10  # not blank


def test_json_of_the_page_is_json(made):
    from advgen.cli._report import as_json

    json.dumps(as_json(RunView(made.store), Path("x")), default=str)


@pytest.mark.slow
def test_a_phone_never_scrolls_sideways(made, page_text, tmp_path: Path):
    browser = chromium()
    if browser is None:
        pytest.skip("needs chromium or google-chrome on the path")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id=f style="width:375px;height:900px;border:0" src="{(made.store.folder / "report.html").as_uri()}">'
        "</iframe><script>onload = () => { const page = f.contentDocument.documentElement;"
        " document.title = page.scrollWidth + ' of ' + page.clientWidth }</script>"
    )
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"<title>(\d+) of (\d+)</title>", done.stdout)
    assert found, done.stderr[-500:]
    assert 300 < int(found[2]) <= 375
    assert int(found[1]) <= int(found[2])


def test_two_slices_of_one_name_are_told_apart(tmp_path, run_writer):
    """The same set at two sizes is two lines, not one worst case over both."""
    made = run_writer(tmp_path / "run")
    wide = DataSpec("digits", "test", 40, 64)
    keys = made.store.read_json("cells.json")
    for key, cell, meta in list(made.store.cells()):
        shutil.copytree(made.store.folder / key, made.store.folder / f"f{key}")
        rows = made.store.folder / f"f{key}" / "rows.parquet"
        pd.read_parquet(rows).assign(cell_key=f"f{key}").to_parquet(rows)
        made.store.write_json(f"f{key}/meta.json", meta)
        done = {"rows": 40, "cell": json.loads(json.dumps(cell._replace(data=wide)))}
        made.store.write_json(f"f{key}/done.json", done)
        keys.append(f"f{key}")
    made.store.write_json("cells.json", keys)
    view = RunView(made.store)
    assert {line.data for line in view.matrix} == {"digits/test[:40]", "digits/test[:40]@64"}
    assert "digits/test[:40]@64" in html(view)
