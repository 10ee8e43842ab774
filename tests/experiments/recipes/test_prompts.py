"""Short texts and what they are true of."""

import numpy as np
import pytest
import torch

from advgen.experiments import avatars
from advgen.experiments.avatars import HELD_OUT_SYNONYMS
from advgen.experiments.avatars.avatar import Attributes
from advgen.experiments.recipes import _prompts as prompts


def said_of(attributes, things):
    right, wrong = prompts.truths(prompts.codes([attributes]), torch.stack([prompts.mask([t]) for t in things]))
    return [t for t, r in zip(things, right[0], strict=True) if r], [t for t, w in zip(things, wrong[0]) if w]


def test_what_is_seen_is_right_and_what_is_not_is_wrong():
    person = Attributes(hair_style="afro", hair_colour="red", glasses="round", expression="grin", age=0.9)
    right, wrong = said_of(person, prompts.things())
    texts = {t for thing in right for t in (*thing.traits, *thing.adjectives)}
    # Age greys all but dyed hair.
    assert {"grey hair", "gray hair", "an afro", "round glasses", "glasses", "no hat", "smiling", "elderly"} <= texts
    assert not {"red hair", "no glasses", "sunglasses", "a hat", "young", "sad"} & texts
    # The colour of a hat that is not there is neither.
    assert not any(t.aspect == "hat colour" for t in (*right, *wrong))
    assert len(right) + len(wrong) + 16 == len(prompts.things())


@pytest.mark.parametrize(
    ("attributes", "hidden"),
    [
        (Attributes(hair_style="bald"), "hair colour"),
        (Attributes(hair_style="mohawk", hat="cap"), "hair colour"),
        (Attributes(hair_style="short", hat="cap"), "hair style"),
        (Attributes(hat="none"), "hat colour"),
    ],
)
def test_nothing_is_said_of_what_is_hidden(attributes, hidden):
    assert prompts.seen(attributes)[hidden] is None
    right, wrong = said_of(attributes, [t for t in prompts.things() if t.aspect == hidden])
    assert not right
    assert not wrong


def test_every_answer_to_a_question_excludes_the_others():
    for aspect, answers in prompts.questions().items():
        masks = torch.stack([prompts.mask([a]) for a in answers])
        assert all((one & other).sum() == 0 for k, one in enumerate(masks) for other in masks[:k]), aspect
        told = {value for answer in answers for value in answer.values}
        assert told | {"none"} >= set(prompts.ASPECTS[aspect])


def test_texts_about_several_things_are_right_and_their_partners_wrong():
    shown = [avatars.sample(3, k, "full").attributes for k in range(60)]
    codes = prompts.codes(shown)
    for k, row in enumerate(prompts.several(shown, 3, np.random.default_rng(0))):
        assert len(row) == 6
        right, wrong = prompts.truths(codes[k : k + 1], torch.stack([m for _, m in row]))
        assert right[0, ::2].all()
        assert wrong[0, 1::2].all()
        assert not any("  " in text or text.startswith(("a a ", "a an ")) for text, _ in row)


def test_no_short_text_holds_a_held_out_word():
    texts = [text for texts, _ in prompts.single() for text in texts]
    assert len(set(texts)) == len(texts)
    assert not [t for t in texts for word in HELD_OUT_SYNONYMS if f" {word} " in f" {t} "]
