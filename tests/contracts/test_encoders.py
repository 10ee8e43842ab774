"""Every encoder that is registered keeps the contracts of encoders, and each contract catches its fault."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from advgen.contracts.contract import judged
from advgen.contracts.encoders import ENCODERS, WORDS
from advgen.contracts.parts import WordHash
from advgen.contracts.run import check_plugin
from advgen.core import registry
from advgen.core.errors import BadArgument
from advgen.embeddings import formats
from advgen.embeddings.vectors import Vectors

Arguments = dict[str, Any]


def _phrase(folder: Path) -> Arguments:
    rng = np.random.default_rng(0)
    vectors = Vectors(WORDS, rng.normal(size=(len(WORDS), 16)).astype(np.float32))
    formats.export(folder / "v.vec", vectors, "word2vec-text")
    return {"vectors": str(folder / "v.vec")}


def _clip(folder: Path) -> Arguments:
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / "clip.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(open_clip.CLIP(**config).state_dict(), folder / "weights.safetensors")
    return {"model": str(folder / "clip.json"), "weights": str(folder / "weights.safetensors")}


# What an encoder needs of files, made small; a new one gets its line here.
ARGUMENTS: dict[str, Callable[[Path], Arguments]] = {"phrase": _phrase, "clip": _clip}
NAMES = [plugin.name for plugin in registry.listing("encoders")]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = {name: ARGUMENTS[name](tmp_path_factory.mktemp(name)) for name in NAMES}
    return {name: registry.create("encoders", name, **given) for name, given in made.items()}


def test_every_encoder_is_listed_whole() -> None:
    assert set(NAMES) == set(ARGUMENTS)
    for plugin in registry.listing("encoders"):
        assert not plugin.broken
        assert plugin.summary
        assert plugin.class_name
        assert plugin.literals["paper"]


@pytest.mark.parametrize("contract", ENCODERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_registered_encoder_keeps_its_contract(name: str, contract: str, registered: dict[str, Any]) -> None:
    encoder = registered[name]
    result = judged(contract, ENCODERS[contract], encoder, getattr(encoder, "waives", {}))
    assert result.verdict != "failed", result.detail
    if result.verdict == "not applicable":
        assert result.detail == "it encodes no images"


def test_the_toy_of_the_contracts_keeps_them() -> None:
    assert [r for r in check_plugin(WordHash()) if r.verdict != "passed"] == []


def test_a_class_that_cannot_be_made_without_files_is_no_failure() -> None:
    for name in NAMES:
        results = check_plugin(registry.load_class("encoders", name))
        assert {r.verdict for r in results} <= {"not applicable", "passed"}
        assert {r.name for r in results} == set(ENCODERS)


@dataclass(frozen=True)
class Sound(WordHash):
    """Knows words without a z; each fault below is the only one."""

    trial: ClassVar = {"dim": 12}

    def unknown(self, text):
        return tuple(word for word in text.lower().split() if "z" in word)

    def encode(self, texts):
        kept = [" ".join(w for w in text.split() if "z" not in w) for text in texts]
        return super().encode(kept)


class Longer(Sound):
    caught_by = "returns_a_unit_row_a_text"

    def encode(self, texts):
        return 1.001 * super().encode(texts)


class Doubles(Sound):
    caught_by = "returns_a_unit_row_a_text"

    def encode(self, texts):
        return super().encode(texts).double()


class CentresTheBatch(Sound):
    caught_by = "encodes_each_text_by_itself"

    def encode(self, texts):
        found = super().encode(texts)
        return torch.nn.functional.normalize(found - 0.1 * found.mean(0), dim=1) if len(texts) else found


class SaysTheSameOfAll(Sound):
    caught_by = "different_texts_differ"

    def encode(self, texts):
        return super().encode(["word" for text in texts if self._check(text)])

    def _check(self, text: str) -> bool:
        return len(super().encode([text])) == 1


class MakesUpUnknownWords(Sound):
    caught_by = "names_the_words_it_lacks"

    def encode(self, texts):
        return WordHash.encode(self, texts)


class NamesOtherWords(Sound):
    caught_by = "names_the_words_it_lacks"

    def unknown(self, text):
        return tuple(f"<{word}>" for word in super().unknown(text))


class EncodesNothing(Sound):
    caught_by = "refuses_an_empty_text"

    def encode(self, texts):
        return super().encode([text if text.strip() else "nothing" for text in texts])


class RaisesItsOwn(Sound):
    caught_by = "refuses_an_empty_text"

    def encode(self, texts):
        if not all(text.split() for text in texts):
            raise ValueError("no words")
        return super().encode(texts)


class Draws(Sound):
    caught_by = "leaves_texts_and_randomness_alone"

    def encode(self, texts):
        torch.rand(1)
        return super().encode(texts)


class WritesIntoTexts(Sound):
    caught_by = "leaves_texts_and_randomness_alone"

    def encode(self, texts):
        found = super().encode(texts)
        texts.clear()
        return found


class HashOfItsWork(Sound):
    caught_by = "says_what_it_is"

    def encode(self, texts):
        object.__setattr__(self, "hash", f"{self.hash}, {len(texts)} more")
        return super().encode(texts)


class LongerImages(Sound):
    caught_by = "returns_a_unit_row_an_image"

    def encode_images(self, images):
        return 2 * super().encode_images(images)


class CentresImages(Sound):
    caught_by = "encodes_each_image_by_itself"

    def encode_images(self, images):
        return super().encode_images(images - 0.1 * images.mean(0, keepdim=True))


class NoGradient(Sound):
    caught_by = "images_have_a_gradient"

    def encode_images(self, images):
        return super().encode_images((255 * images).round() / 255)


BROKEN = [cls for cls in list(globals().values()) if hasattr(cls, "caught_by")]


def test_a_sound_encoder_passes_everything() -> None:
    assert [r for r in check_plugin(Sound) if r.verdict != "passed"] == []


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_planted_fault_is_caught(cls: type[Any]) -> None:
    result = judged(cls.caught_by, ENCODERS[cls.caught_by], cls(), {})
    assert result.verdict == "failed"
    assert not result.detail.startswith("raised"), result.detail


def test_every_contract_of_encoders_has_a_planted_fault() -> None:
    assert {cls.caught_by for cls in BROKEN} == set(ENCODERS)


def test_an_encoder_of_another_language_is_not_judged_by_english_words() -> None:
    class Basque(WordHash):
        def unknown(self, text: str) -> tuple[str, ...]:
            return tuple(text.split())

        def encode(self, texts: list[str]) -> Tensor:
            raise BadArgument("ez dakit.")

    results = {r.name: r for r in check_plugin(Basque())}
    assert results["returns_a_unit_row_a_text"].verdict == "not applicable"
    assert results["refuses_an_empty_text"].verdict == "passed"
