"""The shipped judge on edits whose truth is known: the renderer's own, none at all, other persons, broken ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from advgen.core.errors import BadArgument, UnknownName
from advgen.experiments import avatars as renderer
from advgen.experiments.avatars import counterfactual
from advgen.experiments.edits.attributes import ATTRIBUTES, Change, parse, true_counterfactual
from advgen.experiments.edits.errors import EDITS
from advgen.experiments.edits.oracle import Oracle
from advgen.experiments.edits.portraits import portraits
from advgen.experiments.stats import Rate


def drawn(avatars):
    return portraits(list(avatars)).images


def answers(avatars, change):
    return drawn(true_counterfactual(avatar, (change,)) for avatar in avatars)


@pytest.mark.parametrize("change", EDITS, ids=str)
def test_the_renderers_own_edits_are_exact_as_often_as_the_card_says(judge, held_out, change):
    images, avatars = held_out
    report = judge.edits(images, answers(avatars, change), change, avatars=avatars)
    exact = next(line.found for line in report.lines if line.name == "exactly that change and no other")
    stated = judge.errors["true counterfactuals"][change.attribute]["exact as drawn"]
    assert exact.high >= stated["low"]
    assert stated["value"] > 0.9


def test_of_unchanged_pictures_nothing_is_said_to_have_changed(judge, held_out):
    images, avatars = held_out
    report = judge.edits(images, images, Change("hat", "beanie"), avatars=avatars)
    assert not report.verdicts.exact[~report.verdicts.already].any()
    assert set(report.verdicts.others) == {()}
    assert report.kept.all()
    assert report.distances.to_original.max() == 0


def test_another_person_in_the_same_clothes_has_lost_the_identity(judge, held_out):
    images, avatars = held_out
    others = [renderer.identity(0, (avatar.identity.number + 37) % 128) for avatar in avatars]
    swapped = drawn(replace(avatar, identity=other) for avatar, other in zip(avatars, others))
    report = judge.edits(images, swapped, Change("hat", "beanie"), avatars=avatars)
    assert report.kept.mean() < 0.05


def test_the_renderers_own_edits_keep_the_identity(judge, held_out):
    images, avatars = held_out
    for change in EDITS:
        assert (judge.similarity(images, answers(avatars, change)) >= judge.threshold).mean() > 0.95, change


@pytest.mark.parametrize(
    "broken",
    [
        {"background_colour": "slate"},
        {"clothes_colour": "green"},
        {"hair_colour": "pink"},
        {"expression": "surprised"},
        {"glasses": "sunglasses"},
        {"hair_style": "afro"},
        {"earrings": "hoops"},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_second_change_is_named_and_spoils_the_verdict(judge, held_out, broken):
    images, avatars = held_out
    beard, (name, value) = Change("beard", "full"), next(iter(broken.items()))
    some = [i for i, avatar in enumerate(avatars) if getattr(avatar.attributes, name) != value]
    # Hair hides nothing of itself without a hat, and shows its colour.
    some = [i for i in some if avatars[i].attributes.hat == "none" and avatars[i].attributes.age < 0.5]
    chosen = [avatars[i] for i in some]
    doubled = [counterfactual(true_counterfactual(avatar, (beard,)), **broken) for avatar in chosen]
    double = drawn(doubled)
    report = judge.edits(images[some], double, beard)
    one, other = portraits(chosen).values, portraits(doubled).values
    place = ATTRIBUTES.index(name)
    differs = (one[:, place] != other[:, place]).numpy()
    named = np.array([name in others for others in report.verdicts.others])
    assert differs.sum() > 5
    assert named[differs].mean() > 0.85
    assert not report.verdicts.exact[named].any()


@pytest.mark.parametrize("how", ["noise", "grey", "negative", "another picture"])
def test_a_destroyed_picture_is_no_edit(judge, held_out, how):
    images, avatars = held_out
    noise = torch.randint(0, 256, images.shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    broken = {
        "noise": noise,
        "grey": torch.full_like(images, 128),
        "negative": 255 - images,
        "another picture": images.roll(1, 0),
    }[how]
    report = judge.edits(images, broken, Change("glasses", "clear"), avatars=avatars)
    assert report.verdicts.exact.mean() < 0.05
    assert report.kept.mean() < 0.1


def test_the_true_counterfactual_is_at_no_distance_of_itself_and_changes_nothing_outside(judge, held_out):
    images, avatars = held_out
    change = Change("hat", "beanie")
    report = judge.edits(images[:16], answers(avatars[:16], change), change, avatars=avatars[:16])
    assert report.distances.to_counterfactual.max() == 0
    assert report.distances.outside.max() == 0
    assert report.distances.of_original.max() == 0
    np.testing.assert_array_equal(report.distances.of_change, report.distances.to_original)


def test_a_changed_background_is_outside_the_part(judge, held_out):
    images, avatars = held_out
    change = Change("expression", "surprised")
    both = [
        counterfactual(true_counterfactual(a, (change,)), background="disc", background_colour="plum")
        for a in avatars[:16]
    ]
    report = judge.edits(images[:16], drawn(both), change, avatars=avatars[:16])
    assert report.distances.outside.min() > 0.01


def test_every_rate_of_a_verdict_has_the_judges_error_beside_it(judge, held_out, tmp_path):
    images, avatars = held_out
    report = judge.edits(images[:16], images[:16], parse("hat=beanie, glasses=clear"), avatars=avatars[:16])
    rates = [line for line in report.lines if isinstance(line.found, Rate)]
    assert len(rates) > 8
    assert all(line.judge for line in rates)
    text = str(report)
    assert "as drawn" in text
    assert "inverted" in text
    report.to_csv(tmp_path / "edits.csv")
    assert len((tmp_path / "edits.csv").read_text().splitlines()) == len(report.lines) + 1


def test_rates_leave_out_what_was_there_before(judge, held_out):
    images, avatars = held_out
    report = judge.edits(images, images, Change("beard", "none"), avatars=avatars)
    shaven = int((~report.verdicts.already).sum())
    assert report.lines[0].found.n == shaven < len(images)
    assert any("left out" in note for note in report.notes)


def test_without_avatars_there_is_no_true_counterfactual_and_the_verdicts_stand(judge, held_out):
    images, avatars = held_out
    change = Change("glasses", "tinted")
    report = judge.edits(images[:16], answers(avatars[:16], change), change)
    assert report.distances.to_counterfactual is None
    assert report.fid is None
    assert report.verdicts.asked_for.mean() > 0.9


def test_pictures_drawn_as_a_prompt_asks_show_all_of_it(judge, held_out):
    _, avatars = held_out
    asked = [parse("hair_colour=teal, glasses=sunglasses"), parse("hat=beanie, beard=full")]
    made = [true_counterfactual(avatar, asked[i % 2]) for i, avatar in enumerate(avatars[:32])]
    rows = [asked[i % 2] for i in range(32)]
    hatless = [i for i in range(32) if i % 2 or made[i].attributes.hat == "none"]
    images = drawn(made)
    report = judge.prompts(images[hatless], [rows[i] for i in hatless], random_u8=drawn(avatars))
    assert report.present.mean() > 0.9
    assert len(report.by_prompt) == 2
    assert report.diversity.value > 0.01
    chance = next(line.found.value for line in report.lines if line.name == "  by chance")
    assert chance < 0.2


def test_equal_pictures_have_no_diversity(judge, held_out):
    images, _ = held_out
    assert judge.diversity(images[:1].expand(6, -1, -1, -1), ["one"] * 6).value == 0
    assert judge.diversity(images[:3], ["a", "b", "c"]).n == 0


def test_a_picture_is_read_the_same_alone_and_in_a_batch(judge, held_out):
    images, _ = held_out
    whole, alone = judge.read(images[:8]), judge.read(images[3:4])
    for name, rows in whole.probabilities.items():
        torch.testing.assert_close(rows[3:4], alone.probabilities[name], atol=1e-4, rtol=1e-4)


def test_an_oracle_knows_its_source_and_says_when_another_took_its_place(held_out):
    images, avatars = held_out
    oracle = Oracle()
    sources = [avatar.identity for avatar in avatars]
    targets = [renderer.identity(0, (person.number + 37) % 128) for person in sources]
    swapped = drawn(replace(avatar, identity=target) for avatar, target in zip(avatars, targets))
    assert oracle.verdict(images, sources, targets).nearer_source.float().mean() > 0.95  # 47 of 48
    assert oracle.verdict(swapped, sources, targets).still_source.float().mean() < 0.05


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda x: (x.float(), x), BadArgument, "uint8 portraits"),
        (lambda x: (x[:, :, :32, :32], x), BadArgument, "64"),
        (lambda x: (x[:1], x), BadArgument, "belong together, got 1, 2"),
        (lambda x: (x[:0], x[:0]), BadArgument, "belong together"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(judge, held_out, change, kind, said):
    images, _ = held_out
    with pytest.raises(kind, match=said):
        judge.edits(*change(images[:2]), Change("hat", "beanie"))


def test_a_judge_that_there_is_not_is_refused():
    from advgen.experiments.edits.judge import EditJudge

    with pytest.raises(UnknownName, match="judge_attributes_64"):
        EditJudge(attributes="judge_attribute_64")
