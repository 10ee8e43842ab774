"""What a CLIP tells by text alone: a model that knows the answers scores all, one that knows nothing scores chance."""

import pytest
import torch

from advgen.core.meter import Meter
from advgen.experiments.avatars.synonyms import UNSEEN
from advgen.experiments.measured import checked
from advgen.experiments.measurement import quantities_of
from advgen.experiments.measures import clip_reading
from advgen.experiments.measures.clip_reading import CLIPReading
from advgen.experiments.recipes import _prompts as prompts
from advgen.experiments.study import load


class Knowing:
    """Texts as the bits of what is said; knows no unseen synonym."""

    said = {t: prompts.mask([thing]) for thing in prompts.things() for t in prompts.phrased(thing)}
    hash = "knowing"

    def __init__(self, model, weights):
        assert (model, weights) == ("clip_avatars_64", None)

    def unknown(self, text):
        return tuple(w for w in text.split() if any(w in words for words in UNSEEN.values()))

    def encode(self, texts):
        nothing = torch.zeros(len(prompts.ASPECTS), dtype=torch.int32)
        return torch.nn.functional.normalize(torch.stack([bits(self.said.get(t, nothing)) for t in texts]), dim=1)


def bits(mask):
    wide = [(mask[k] >> b) & 1 for k, values in enumerate(prompts.ASPECTS.values()) for b in range(len(values))]
    return torch.tensor(wide).float() + 1e-3


@pytest.fixture
def knowing(monkeypatch):
    monkeypatch.setattr(clip_reading, "CLIP", Knowing)
    monkeypatch.setattr(clip_reading.scores, "ASKED", 3)
    monkeypatch.setattr(clip_reading.scores, "FEWEST", 2)
    monkeypatch.setattr(
        CLIPReading, "_features",
        lambda self, clip, shown, device: torch.stack([bits(c) for c in prompts.codes(shown.attributes)]),
    )  # fmt: skip


def test_whoever_knows_all_is_right_about_all(knowing, tmp_path):
    measure = CLIPReading(count=48, probed=96)
    assert set(measure.inputs()) == {"clip", "data"}
    found = measure.run(seed=0, device=torch.device("cpu"), meter=Meter(), out=tmp_path)
    checked(found, "clip_reading", quantities_of("clip_reading"))
    values = {q: [r.value for r in found.readings if r.quantity == q] for q in CLIPReading.quantities}
    assert values["zero_shot"] == pytest.approx([1.0] * len(values["zero_shot"]))
    assert len(values["zero_shot"]) >= 7
    assert min(values["probe"]) > 0.9
    assert values["worst"] == [1.0]
    assert min(values["usual"]) > 0.9
    assert set(values["known"]) == {0.0}
    assert 0.3 < sum(values["synonym"]) / len(values["synonym"]) < 0.7
    assert len(values["r1"]) == 3
    assert found.stand_ins == {"published CLIP": "clip_avatars_64"}


def test_unseen_synonyms_are_said_in_the_sentence_of_the_usual_word():
    answers = {aspect: prompts.questions()[aspect] for aspect in ("hair colour", "glasses", "earrings", "age", "hat")}
    told = {
        clip_reading._word(s): clip_reading._sentence(s, clip_reading._word(s)) for a in answers.values() for s in a
    }
    assert told["red"] == "a person with red hair"
    assert told["round"] == "a person with round glasses"
    assert told["sunglasses"] == "a person with sunglasses"
    assert told["stud earrings"] == "a person with stud earrings"
    assert told["elderly"] == "an elderly person"
    assert told["beanie"] == "a person with a beanie"


def test_no_unseen_synonym_stands_in_any_text_of_training():
    words = {word for several in UNSEEN.values() for word in several}
    said = {w for texts, _ in prompts.single() for text in texts for w in text.replace(",", " ").split()}
    assert not words & said
    assert all(len(several) >= 2 for several in UNSEEN.values())


def test_the_study_asks_three_kinds_of_pictures():
    study = load("clip_reading")
    assert {m.arm for m in study.every_measurement()} == {
        "held-out portraits", "portraits made again", "samples of the generator",
    }  # fmt: skip
