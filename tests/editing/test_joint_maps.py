import pytest
import torch

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile
from advgen.core.specs import Card
from advgen.editing.joint_maps import (
    LoadedMap,
    TextToLatent,
    best_of,
    check_fits,
    described,
    encoder_of,
    faces_of,
    latents_of,
    load_map,
)

SIZES = {
    "text_dim": 4, "num_ws": 5, "w_dim": 3, "rows": 1, "z_dim": 3, "width": 8, "blocks": 1, "dim": 4, "hidden": 6,
}  # fmt: skip


class Generator:
    num_ws, w_dim, z_dim, c_dim, resolution = 5, 3, 3, 0, (8, 8)
    mean_w = torch.zeros(3)

    def synthesis(self, w, **_):
        return w[:, :1, :, None].expand(-1, 8, -1, 8).transpose(1, 2)


class Encoder:
    dim, hash = 4, "1"

    def encode(self, texts):
        return torch.nn.functional.one_hot(torch.tensor([len(text) % 4 for text in texts]), 4).float()

    def unknown(self, text):
        return tuple(word for word in text.split() if word == "zyx")

    def rare(self, text, *, under):
        return ("seldom",) if "seldom" in text else ()


def card(**args) -> Card:
    return Card(
        name="map", kind="text-to-latent", recipe="text_to_latent", args={**described(SIZES), **args}, seed=0,
        data_hash="", file_hash="", metrics={}, cost={}, licence="MIT", stands_in_for=None, made_with={},
    )  # fmt: skip


@pytest.fixture
def network() -> TextToLatent:
    torch.manual_seed(0)
    return TextToLatent(**SIZES).eval().requires_grad_(False)


def test_a_map_is_read_as_it_was_written(network, tmp_path) -> None:
    path = tmp_path / "map.safetensors"
    checkpoints.save(path, network.state_dict(), card())
    again = load_map(path).network
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values()))


def test_a_file_that_holds_something_else_is_refused(tmp_path) -> None:
    path = tmp_path / "other.safetensors"
    checkpoints.save(path, {"x": torch.zeros(1)}, card()._replace(args={}))
    with pytest.raises(BadFile, match="no map from text to latents"):
        load_map(path)
    checkpoints.save(path, {"x": torch.zeros(1)}, card())
    with pytest.raises(BadFile, match="does not hold the map"):
        load_map(path)


def test_a_seeds_face_does_not_depend_on_the_others(network) -> None:
    loaded = LoadedMap(network, card())
    some = faces_of(loaded, Encoder(), Generator(), "red hair", [3, 4, 5], candidates=2)
    alone = faces_of(loaded, Encoder(), Generator(), "red hair", [4], candidates=2)
    assert torch.allclose(some.w[1], alone.w[0], atol=1e-6)
    assert len({tuple(row) for row in some.w[:, 0].tolist()}) == 3


def test_words_that_are_not_known_or_rare_are_named(network) -> None:
    faces = faces_of(LoadedMap(network, card()), Encoder(), Generator(), "a seldom zyx", [0])
    assert (faces.unknown, faces.rare) == (("zyx",), ("seldom",))


def test_the_best_of_several_is_the_nearest_in_the_joint_space(network) -> None:
    text, z = torch.eye(4)[:2], torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    every = latents_of(network, text.repeat_interleave(6, 0), z).unflatten(0, (2, 6))
    chosen = latents_of(network, text, z, candidates=6)
    assert torch.equal(chosen, best_of(network, text, every))
    for k in range(2):
        cosines = network.joint.of_latents(every[k]) @ network.joint.of_text(text)[k]
        assert torch.equal(chosen[k], every[k, cosines.argmax()])


def test_a_map_of_another_generator_is_refused(network) -> None:
    with pytest.raises(BadArgument, match="5 rows of 3, this generator's have 7 of 3"):
        check_fits(network, type("Other", (Generator,), {"num_ws": 7})())
    with pytest.raises(BadArgument, match="means of w differ"):
        check_fits(network, type("Other", (Generator,), {"mean_w": torch.full((3,), 9.0)})())


def test_a_control_has_no_encoder() -> None:
    with pytest.raises(BadArgument, match="random vectors, a control"):
        encoder_of(card(encoder="random", vectors="wiki"))


def test_no_seeds_make_no_faces(network) -> None:
    with pytest.raises(BadArgument, match="one seed"):
        faces_of(LoadedMap(network, card()), Encoder(), Generator(), "red", [])
