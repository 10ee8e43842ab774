"""The shipped map from text to latents, as the command line uses it."""

import pytest
import torch
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.editing.joint_edits import summed, terms, text_shift
from advgen.editing.joint_maps import Faces, encoder_of, faces_of, load_map
from advgen.generators.stylegan2.load import load_stylegan2, located
from advgen.zoo.load import load

NAME = "text_to_latent_avatars_64"


@pytest.fixture(scope="module")
def parts():
    loaded = load_map(NAME)
    generator = load_stylegan2(located(str(loaded.card.args["generator"]))).generator.requires_grad_(False)
    return loaded, encoder_of(loaded.card), generator


def shown(images: torch.Tensor, attribute: str) -> torch.Tensor:
    """Whether a small network that was trained on portraits alone finds an attribute on 64-pixel images."""
    reader = load("avatars_attributes_32")
    with torch.no_grad():
        logits = reader.network(functional.avg_pool2d(images, 2))
    return logits[:, reader.classes.index(attribute)] > 0


def faces(parts, text: str, *, own: bool = False) -> Faces:
    loaded, encoder, generator = parts
    return faces_of(loaded, encoder, generator, text, range(24), candidates=128 if own else 16, own=own)


@pytest.mark.parametrize("own", [False, True])
def test_a_sentence_makes_faces_that_show_it(parts, own) -> None:
    long, short = (faces(parts, f"a person with {length} hair", own=own) for length in ("long", "short"))
    assert float(shown(long.images, "long_hair").float().mean()) > 0.7
    assert float(shown(short.images, "long_hair").float().mean()) < 0.3


def test_one_phrase_gives_many_faces(parts) -> None:
    w = faces(parts, "a person with long hair").w[:, 0]
    network = parts[0].network
    apart = torch.cdist(w, w)[~torch.eye(len(w), dtype=torch.bool)]
    assert float(apart.min()) > 0.5 * float(network.joint.spread_w)


def test_an_edit_along_a_sum_of_phrases_lengthens_hair(parts) -> None:
    loaded, encoder, generator = parts
    before = faces(parts, "a person with short hair")
    after = summed(encoder, terms("a person with short hair - short hair + long hair"))
    shift = text_shift(loaded.network, before.w, encoder.encode(["a person with short hair"]), after, guidance=3.0).w
    images = generator.synthesis(before.w + shift).clamp(0, 1)
    gained = shown(images, "long_hair").float().mean() - shown(before.images, "long_hair").float().mean()
    assert float(gained) > 0.2


def test_words_that_the_vectors_lack_are_named(parts) -> None:
    loaded, encoder, generator = parts
    told = faces_of(loaded, encoder, generator, "a person with hair and a qwrtz", [0])
    assert told.unknown == ("qwrtz",)
    with pytest.raises(BadArgument, match="none of the words"):
        faces_of(loaded, encoder, generator, "qwrtz", [0])


def test_the_card_tells_what_the_map_was_made_from_and_which_words_it_does_not_rest_on() -> None:
    card = load_map(NAME).card
    assert card.args["vectors"] == "wikipedia_glove"
    assert card.args["generator"] == "stylegan2_avatars_64"
    assert set(card.metrics["unknown words"]) | set(card.metrics["rare words"])
    assert card.cost["parameters"] < 750_000
