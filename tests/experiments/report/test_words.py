"""What things are called: friendly, whole, and safe in LaTeX."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advgen.experiments.report import words
from advgen.experiments.report.markup import Markup, join, tag
from advgen.experiments.stats import rate


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("given:images", "the given images"),
        ("given:Sequential", "Sequential (given)"),
        ("folder:/home/somebody/faces", "folder faces"),
        ("/home/somebody/net.py:build", "net.py:build"),
        ("image/pgd", "image/pgd"),
    ],
)
def test_names_lose_marks_and_folders(name, shown):
    assert words.friendly(name) == shown


def test_arguments_are_told_in_words():
    assert words.attack("image/pgd", '{"loss": "margin", "steps": 40}') == "image/pgd (loss margin, steps 40)"
    assert words.defense("detect/magnet(fpr=0.05)+purify/jpeg") == "detect/magnet (fpr 0.05) + purify/jpeg"
    assert words.attack_label('image/pgd {"steps": 4} (transfer from net)') == "image/pgd (steps 4), transfer from net"
    assert words.attack_label("image/fgsm (oblivious)") == "image/fgsm, oblivious"


def test_a_class_that_is_none_is_told():
    assert words.prediction(1, ("cat", "dog")) == "dog"
    assert words.prediction(0, ("fake",)) == "not fake"
    assert words.prediction(-1, ("cat",)) == "no finite answer"
    assert words.prediction(None, ("cat",)) == "no answer"
    assert words.prediction(7, ("cat", "dog")) == "7"


def test_a_rate_of_nothing_is_no_zero():
    assert words.told(rate([])) == words.NONE
    assert words.percent(None) == words.NONE
    assert words.told(rate([1, 0])) == "50.0% [9.5, 90.5]"


@given(st.text())
def test_text_never_becomes_markup(text):
    drawn = tag("p", text, title=text)
    start, inside = drawn[: drawn.index(">")], drawn[drawn.index(">") + 1 : -len("</p>")]
    assert "<" not in inside
    assert drawn.count("<") == 2
    assert start.count('"') == 2


@given(st.text(alphabet=r"ab\{}$&#%_^~<>| ", max_size=20))
def test_latex_has_no_bare_special_character(text):
    shown = words.latex(text)
    for command in set(words.LATEX.values()):
        shown = shown.replace(command, "")
    assert not set(shown) & set(r"\{}$&#%_^~<>|")


def test_markup_is_kept_and_lists_are_flattened():
    assert join(["<", [Markup("<br>"), None, ["&"]]]) == "&lt;<br>&amp;"
