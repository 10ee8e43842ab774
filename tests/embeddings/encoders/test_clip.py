"""CLIP gives open_clip's own features, from files that are here, and never asks the network."""

import json
import os
import pickle
import socket
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.specs import Card
from advgen.embeddings.encoders import _clip_towers
from advgen.embeddings.encoders._clip_tokens import HubTokens, ids_in_use
from advgen.embeddings.encoders.clip import CLIP

TEXTS = ["a person with red hair", "an old man, smiling", "Glasses!  and a hat & it's caf\u00e9"]
CARD = Card("small", "encoder", "none", {}, 0, "", "", {}, {}, "MIT")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def encoder(config_file: Path, weights: Path) -> CLIP:
    return CLIP(str(config_file), str(weights))


@pytest.fixture
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "data" / "weights"
    home.mkdir(parents=True)
    monkeypatch.setenv("ADVGEN_DATA", str(home.parent))
    return home


def _pictures(folder: Path, size: tuple[int, int], mode: str = "RGB") -> list[Path]:
    """Smooth, noisy and hard-edged ones: PIL clips the overshoot of the last at bytes."""
    rng = np.random.default_rng(0)
    height, width = size
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([127 + 120 * np.sin(x / 9 + k) * np.cos(y / 7) for k in range(3)], -1)
    noise = rng.integers(0, 256, (height, width, 3))
    edges = np.repeat(255 * (((x // 5) + (y // 3)) % 2)[..., None], 3, -1)
    paths = []
    for number, picture in enumerate((smooth, noise, edges)):
        paths.append(folder / f"{number}.png")
        Image.fromarray(picture.astype(np.uint8)).convert(mode).save(paths[-1])
    return paths


def _tensor(path: Path) -> Tensor:
    array = np.asarray(Image.open(path))
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(48, 48), (64, 64), (97, 60), (33, 40), (200, 131)])
def test_a_pngs_cosine_is_open_clips_to_a_thousandth(
    size: tuple[int, int], interpolation: str, resize_mode: str, network: nn.Module, weights: Path, tmp_path: Path
) -> None:
    preprocess = {"mean": [0.45, 0.4, 0.35], "std": [0.25, 0.2, 0.3]}
    preprocess |= {"interpolation": interpolation, "resize_mode": resize_mode, "fill_color": 30}
    config = json.loads((weights.parent / "config.json").read_text())["model_cfg"]
    (tmp_path / "clip.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    encoder = CLIP(str(tmp_path / "clip.json"), str(weights))
    theirs = image_transform_v2(PreprocessCfg(size=48, **preprocess), is_train=False)
    texts = encoder.encode(TEXTS)
    squashed = resize_mode == "squash" and size[0] != size[1]
    for path in _pictures(tmp_path, size)[: 1 if squashed else 3]:
        with torch.no_grad():
            expected = functional.normalize(network.encode_image(theirs(Image.open(path))[None]), dim=-1)
        found = encoder.encode_images(_tensor(path))
        assert found.dtype == torch.float32
        assert float((texts @ found[0] - texts @ expected[0]).abs().max()) < 1e-3
        assert float(found[0] @ expected[0]) > 1 - 1e-5


def test_real_pictures_agree_too(encoder: CLIP, shared_data: Path) -> None:
    texts = encoder.encode(TEXTS)
    paths = sorted((shared_data / "images" / "lpips").glob("*.png"))
    assert len(paths) == 3
    for path in paths:
        image = _tensor(path)
        through_pil = encoder.encode_images_u8((255 * image).round().byte())
        assert float(((encoder.encode_images(image) - through_pil) @ texts.T).abs().max()) < 1e-3


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_bytes_take_open_clips_own_path(mode: str, encoder: CLIP, network: nn.Module, tmp_path: Path) -> None:
    preprocess = {"mean": (0.45, 0.4, 0.35), "std": (0.25, 0.2, 0.3)}
    theirs = image_transform_v2(PreprocessCfg(size=48, **preprocess), is_train=False)
    paths = _pictures(tmp_path, (97, 60), mode)
    with torch.no_grad():
        pixels = torch.stack([theirs(Image.open(path)) for path in paths])
        expected = functional.normalize(network.encode_image(pixels), dim=-1)
    found = encoder.encode_images_u8(torch.cat([(255 * _tensor(path)).round().byte() for path in paths]))
    assert torch.equal(found, expected)
    assert encoder.encode_images_u8(torch.empty((0, 3, 9, 9), dtype=torch.uint8)).shape == (0, encoder.dim)
    with pytest.raises(BadArgument, match="CLIP takes uint8 images"):
        encoder.encode_images_u8(_tensor(paths[0]))


def test_grey_pictures_are_seen_as_pil_converts_them(encoder: CLIP, tmp_path: Path) -> None:
    for path in _pictures(tmp_path, (50, 50), "L"):
        colour = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1)[None] / 255
        torch.testing.assert_close(encoder.encode_images(_tensor(path)), encoder.encode_images(colour))


def test_texts_are_open_clips_features_of_unit_length(encoder: CLIP, network: nn.Module) -> None:
    numbers = open_clip.SimpleTokenizer(context_length=24)(TEXTS)
    expected = functional.normalize(network.encode_text(numbers), dim=-1)
    torch.testing.assert_close(encoder.encode(TEXTS), expected)
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.logit_scale == pytest.approx(float(network.logit_scale.exp()))


def test_open_clips_own_loader_agrees(encoder: CLIP, config_file: Path, weights: Path, tmp_path: Path) -> None:
    """Its folder format, read by both."""
    (tmp_path / "open_clip_config.json").write_bytes(config_file.read_bytes())
    (tmp_path / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    path = _pictures(tmp_path, (70, 90))[1]
    with torch.no_grad():
        expected = theirs.eval().encode_image(transform(Image.open(path))[None], normalize=True)
    ours = CLIP(str(tmp_path))
    assert float((ours.encode_images(_tensor(path)) * expected).sum()) > 1 - 1e-5
    assert ours.hash == encoder.hash


def test_images_have_a_gradient_that_leads_to_the_text(encoder: CLIP) -> None:
    images = torch.rand((3, 3, 60, 44), generator=torch.Generator().manual_seed(0))
    text = encoder.encode(["a person with red hair"])[0]

    def cosine(images: Tensor) -> Tensor:
        return encoder.encode_images(images) @ text

    moved = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cosine(moved).sum(), moved)
    assert bool(slope.isfinite().all())
    assert bool((slope.flatten(1).abs().amax(1) > 0).all())
    # A small step along it changes the cosine by its length squared, times the step.
    step = 1e-3 / slope.flatten(1).norm(dim=1)[:, None, None, None]
    gained = cosine(images + step * slope) - cosine(images - step * slope)
    expected = 2 * 1e-3 * slope.flatten(1).norm(dim=1)
    torch.testing.assert_close(gained.detach(), expected, rtol=0.05, atol=1e-6)


def test_no_images_and_what_are_none(encoder: CLIP) -> None:
    assert encoder.encode_images(torch.empty(0, 3, 32, 32)).shape == (0, encoder.dim)
    for images in (torch.zeros(3, 32, 32), torch.zeros(1, 4, 32, 32), torch.zeros((1, 3, 32, 32), dtype=torch.uint8)):
        with pytest.raises(BadArgument, match="CLIP takes float images"):
            encoder.encode_images(images)


def test_an_empty_text_and_one_beyond_the_context_are_refused(encoder: CLIP, config_file: Path, weights: Path) -> None:
    for text in ("", "  \n"):
        with pytest.raises(BadArgument, match="is empty; words were expected"):
            encoder.encode(["red hair", text])
    long = "red " * 30
    assert (encoder.length(long), encoder.context_length) == (32, 24)
    with pytest.raises(BadArgument, match=r"has 32 pieces, marks included, and the context of .* holds 24"):
        encoder.encode([long])
    cut = CLIP(str(config_file), str(weights), truncate=True)
    torch.testing.assert_close(cut.encode([long]), encoder.encode(["red " * 22]))
    assert cut.hash != encoder.hash
    with pytest.raises(BadArgument, match="a list of texts was expected"):
        encoder.encode("red hair")  # type: ignore[arg-type]


def _in_torchs_format(path: Path, network: nn.Module, content: str) -> None:
    tensors = network.state_dict()
    half = {name: tensor.half() for name, tensor in tensors.items()}
    contents: dict[str, Any] = {
        "bare": tensors,
        "training": {
            "epoch": 3,
            "state_dict": {f"module.{n}": t for n, t in tensors.items()},
            "optimizer": {"lr": 0.1},
        },
        "model.": {f"model.{n}": t for n, t in tensors.items()},
        "nested": {"model": {f"module.model.{n}": t for n, t in tensors.items()}},
        "half": {"state_dict": half},
        "openai": {**half, "input_resolution": torch.tensor(48), "context_length": torch.tensor(24)},
    }
    torch.save(contents[content], path)


@pytest.mark.parametrize("content", ["bare", "training", "model.", "nested", "half", "openai"])
@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_files_of_torchs_format_give_the_same_features(
    content: str, suffix: str, encoder: CLIP, network: nn.Module, config_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"clip{suffix}"
    _in_torchs_format(path, network, content)
    loaded = CLIP(str(config_file), str(path))
    exact = content not in ("half", "openai")
    torch.testing.assert_close(loaded.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6 if exact else 1e-2, rtol=0)
    assert (loaded.hash == encoder.hash) == exact
    assert loaded.encode(TEXTS).dtype == torch.float32


def test_weights_of_the_plain_class_serve_a_text_tower_of_its_own(
    encoder: CLIP, config_file: Path, weights: Path, tmp_path: Path
) -> None:
    """open_clip's older files under its newer names, the scale as a row of one."""
    given = json.loads(config_file.read_text())
    given["model_cfg"] |= {"custom_text": True, "nonscalar_logit_scale": True}
    (tmp_path / "custom.json").write_text(json.dumps(given))
    custom = CLIP(str(tmp_path / "custom.json"), str(weights))
    torch.testing.assert_close(custom.encode(TEXTS), encoder.encode(TEXTS))
    assert custom.logit_scale == pytest.approx(encoder.logit_scale)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch SHOULD_NOT_BE_THERE",)


def test_a_file_that_is_a_program_is_refused_and_not_run(
    config_file: Path, network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": network.state_dict(), "more": _Runs()}, tmp_path / "code.pt")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(_Runs()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises against such files, as we do
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2), check_trace=False).save(str(tmp_path / "script.pt"))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "code.pt").read_bytes()[:5000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 40)
    (tmp_path / "notes.txt").write_text("weights")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    said = {
        "code.pt": "more than tensors",
        "plain.bin": "more than tensors",
        "script.pt": "a TorchScript archive, a program",
        "cut.pt": "damaged or no file of torch's",
        "cut.safetensors": "damaged or no safetensors file",
        "notes.txt": "is no file of weights",
        "list.pt": "holds no tensors by name",
        "none.pt": "there is no file",
    }
    for name, sentence in said.items():
        with pytest.raises((BadFile, MissingFile), match=sentence) as error:
            CLIP(str(config_file), str(tmp_path / name)).encode(["hat"])
        assert "\n" not in str(error.value)
    assert not (tmp_path / "SHOULD_NOT_BE_THERE").exists()


def test_weights_that_do_not_fit_the_config_are_refused(
    network: nn.Module, config_file: Path, weights: Path, tmp_path: Path
) -> None:
    given = json.loads(config_file.read_text())
    given["model_cfg"]["text_cfg"]["layers"] = 3
    (tmp_path / "deeper.json").write_text(json.dumps(given))
    with pytest.raises(BadFile, match=r"does not fit .*deeper.json: it lacks transformer.resblocks.2"):
        CLIP(str(tmp_path / "deeper.json"), str(weights)).encode(["hat"])
    given["model_cfg"]["text_cfg"]["layers"] = 1
    (tmp_path / "flatter.json").write_text(json.dumps(given))
    with pytest.raises(BadFile, match=r"it has transformer.resblocks.1.* and 9 more, which the model does not know"):
        CLIP(str(tmp_path / "flatter.json"), str(weights)).encode(["hat"])
    given["model_cfg"]["text_cfg"] |= {"layers": 2, "context_length": 30}
    (tmp_path / "longer.json").write_text(json.dumps(given))
    with pytest.raises(BadFile, match=r"positional_embedding is \(24, 24\), expected \(30, 24\)"):
        CLIP(str(tmp_path / "longer.json"), str(weights)).encode(["hat"])
    bad = {n: t.clone() for n, t in network.state_dict().items()}
    bad["ln_final.weight"][0] = float("nan")
    torch.save(bad, tmp_path / "nan.pt")
    with pytest.raises(BadFile, match=r"ln_final\.weight holds NaN"):
        CLIP(str(config_file), str(tmp_path / "nan.pt")).encode(["hat"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON object"),
        ('{"embed_dim": 8}', "is no config of a CLIP"),
        ('{"embed_dim": 8, "vision_cfg": {"depth": 2}, "text_cfg": {}}', "open_clip cannot build the model of"),
        ('{"embed_dim": 8, "vision_cfg": 3, "text_cfg": {}}', "open_clip cannot build the model of"),
    ],
)
def test_a_config_that_is_none_is_refused(content: str, said: str, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(BadFile, match=said):
        CLIP(str(tmp_path / "c.json"), str(weights)).encode(["hat"])


@pytest.mark.parametrize(
    ("model", "tag", "file"),
    [
        ("ViT-B-32", "openai", "ViT-B-32-openai.safetensors"),
        ("ViT-B-32", "laion2b_s34b_b79k", "huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("ViT-B-16-SigLIP", "webli", "huggingface.co/timm/ViT-B-16-SigLIP"),
    ],
)
def test_weights_that_are_not_here_are_named_at_once(model: str, tag: str, file: str, data_home: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(MissingFile, match=file) as error:
        CLIP(model, tag).encode(["hat"])
    assert time.monotonic() - begun < 10
    assert str(data_home) in str(error.value)


def test_names_that_nothing_answers_to_get_the_nearest(data_home: Path, config_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'ViT-B-33': did you mean 'ViT-B-32'"):
        CLIP("ViT-B-33", "openai").encode(["hat"])
    with pytest.raises(UnknownName, match="weights of CLIP ViT-B-32 'openal': did you mean 'openai'"):
        CLIP("ViT-B-32", "openal").encode(["hat"])
    with pytest.raises(BadArgument, match="ViT-B-32 needs `weights`: a file, or one of openai"):
        CLIP("ViT-B-32").encode(["hat"])
    with pytest.raises(BadArgument, match="needs `weights`, a file"):
        CLIP(str(config_file)).encode(["hat"])
    with pytest.raises(MissingFile, match="no config"):
        CLIP(str(tmp_path / "none.json"), "x.pt").encode(["hat"])


@pytest.fixture
def published(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The small model among open_clip's own, with a tag that was trained with QuickGELU and squashes images."""
    config = json.loads(config_file.read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Small", config)
    tag = {"url": "", "hf_hub": "someone/small/", "quick_gelu": True, "resize_mode": "squash"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Small", {"theirs": tag})
    return "Small"


def test_published_weights_are_found_in_the_data_folder_and_the_hubs_cache(
    published: str, weights: Path, data_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    snapshot = cache / "models--someone--small" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    (snapshot / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    hub = CLIP(published, "theirs")
    assert str(snapshot) in hub.came_from
    (data_home / "Small-theirs.safetensors").write_bytes(weights.read_bytes())
    folder = CLIP(published, "theirs")
    assert str(data_home) in folder.came_from
    assert hub.hash == folder.hash


def test_a_tags_activation_and_preprocessing_are_its_own(
    published: str, weights: Path, config_file: Path, data_home: Path
) -> None:
    """open_clip only warns when the activation is not the one of training."""
    (data_home / "Small-theirs.safetensors").write_bytes(weights.read_bytes())
    tagged, plain = CLIP(published, "theirs"), CLIP(published, str(weights))
    assert not torch.allclose(tagged.encode(TEXTS), plain.encode(TEXTS), atol=1e-3)
    config = json.loads(config_file.read_text())["model_cfg"]
    quick = open_clip.CLIP(**config, quick_gelu=True).eval()
    quick.load_state_dict(checkpoints.load_tensors(weights))
    numbers = open_clip.SimpleTokenizer(context_length=24)(TEXTS)
    torch.testing.assert_close(tagged.encode(TEXTS), functional.normalize(quick.encode_text(numbers), dim=-1))
    assert tagged._towers.pixels.resize_mode == "squash"
    assert "quick_gelu" not in config


def _small(network: nn.Module, encoder: CLIP, path: Path, texts: list[str]) -> Card:
    towers = encoder._towers
    ids = ids_in_use(texts)
    config, tensors = _clip_towers.only_rows(towers.config, network.state_dict(), ids)
    small = _clip_towers.build(config, "the test")
    small.load_state_dict({n: t for n, t in tensors.items() if n != "token_ids"})
    return _clip_towers.save(path, towers._replace(network=small, config=config, ids=ids), CARD, half=False)


def test_a_model_of_a_few_rows_gives_the_same_features_and_names_the_other_words(
    network: nn.Module, encoder: CLIP, data_home: Path
) -> None:
    _small(network, encoder, data_home / "small_clip.safetensors", TEXTS)
    small = CLIP("small_clip")
    torch.testing.assert_close(small.encode(TEXTS), encoder.encode(TEXTS))
    torch.testing.assert_close(small.encode(["red glasses"]), encoder.encode(["red glasses"]))
    assert (data_home / "small_clip.safetensors").stat().st_size < 0.1 * sum(
        t.numel() * 4 for t in network.state_dict().values()
    )
    assert encoder.unknown("an unbelievable moustache") == ()
    assert small.unknown("An unbelievable moustache, old man") == ("unbelievable", "moustache")
    assert torch.equal(*small.encode(["an old man", "an unbelievable old moustache man"]))
    with pytest.raises(BadArgument, match="small_clip knows none of the words of 'moustache'"):
        small.encode(["moustache"])
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(small.encode_images(images), encoder.encode_images(images))
    assert small.hash != encoder.hash


def test_a_checkpoint_in_half_precision_is_read_as_float32(network: nn.Module, encoder: CLIP, data_home: Path) -> None:
    path = data_home / "half.safetensors"
    card = _clip_towers.save(path, encoder._towers, CARD)
    assert card.kind == "encoder"
    assert checkpoints.load_tensors(path)["visual.conv1.weight"].dtype == torch.float16
    half = CLIP(str(path))
    torch.testing.assert_close(half.encode(TEXTS), encoder.encode(TEXTS), atol=1e-2, rtol=0)
    assert half.encode_images(torch.rand(1, 3, 48, 48)).dtype == torch.float32


def test_checkpoints_that_are_no_clip_are_refused(data_home: Path, weights: Path, encoder: CLIP) -> None:
    checkpoints.save(data_home / "other.safetensors", {"x": torch.zeros(2)}, CARD._replace(kind="classifier"))
    with pytest.raises(BadFile, match="no CLIP but of kind 'classifier'"):
        CLIP("other").encode(["hat"])
    with pytest.raises(BadArgument, match="has no card that says which network"):
        CLIP(str(weights)).encode(["hat"])
    _clip_towers.save(data_home / "whole.safetensors", encoder._towers, CARD)
    with pytest.raises(BadArgument, match=r"whole.safetensors has its weights inside; leave out weights='openai'"):
        CLIP("whole", "openai").encode(["hat"])
    rows = encoder._towers._replace(ids=torch.tensor([0, 5, 3]))
    _clip_towers.save(data_home / "rows.safetensors", rows, CARD)
    with pytest.raises(BadFile, match="its token ids are not rows of open_clip's own vocabulary"):
        CLIP("rows").encode(["hat"])


def test_loading_leaves_random_numbers_and_the_environment_alone(
    config_file: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    before = torch.get_rng_state()
    CLIP(str(config_file), str(weights)).encode(["hat"])
    assert torch.equal(before, torch.get_rng_state())
    assert "HF_HUB_OFFLINE" not in os.environ


def test_features_of_texts_are_remembered(config_file: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = CLIP(str(config_file), str(weights))
    asked: list[list[str]] = []
    whole = CLIP._encoded
    monkeypatch.setattr(CLIP, "_encoded", lambda self, texts: asked.append(texts) or whole(self, texts))
    monkeypatch.setattr("advgen.embeddings.encoders.clip.KEPT", 2)
    first = encoder.encode(["hat", "hat", "red hair", "man"])
    torch.testing.assert_close(encoder.encode(["man", "red hair", "hat"]), first[[3, 2, 0]])
    assert asked == [["hat", "red hair", "man"], ["hat"]]


def test_a_tokeniser_of_the_hub_is_asked_as_open_clip_asks_it() -> None:
    class Inner:
        unk_token_id = 9

        def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
            ids = [{"red": 3, "hair": 4}.get(word, 9) for word in text.split()]
            return {"input_ids": [1, *ids, 2] if add_special_tokens else ids}

    class Wrapped:
        tokenizer = Inner()

        def clean_fn(self, text: str) -> str:
            return " ".join(text.split())

        def __call__(self, texts: list[str], *, context_length: int) -> Tensor:
            return torch.zeros((len(texts), context_length), dtype=torch.int64)

    tokens = HubTokens(Wrapped(), 8)
    assert [word.known for word in tokens.words(" red  zebra ")] == [True, False]
    assert tokens.length("red  hair") == 4
    assert tokens.numbers(["a", "b"]).shape == (2, 8)


def test_the_registry_builds_it_from_text(config_file: Path, weights: Path, encoder: CLIP) -> None:
    built = registry.create("encoders", "clip", model=str(config_file), weights=str(weights), truncate="false")
    assert built.hash == encoder.hash


def test_styleclips_way_of_showing_images_is_theirs_and_gives_other_numbers(config_file: Path, weights: Path) -> None:
    """Their loss: `avg_pool(upsample(image))` of values in [-1, 1], made for CLIPs of 224 pixels."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    pixels = _clip_towers.Pixels((224, 224), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    theirs = nn.AvgPool2d(kernel_size=64 // 32)(nn.Upsample(scale_factor=7)(2 * images - 1))
    torch.testing.assert_close(pixels.as_styleclip(images), theirs)
    ours = CLIP(str(config_file), str(weights))
    compat = CLIP(str(config_file), str(weights), styleclip_compat=True)
    assert not torch.allclose(ours.encode_images(images), compat.encode_images(images), atol=1e-3)
    assert ours.hash != compat.hash
    torch.testing.assert_close(ours.encode(TEXTS), compat.encode(TEXTS))


FUNCTION = """
import json, open_clip
from pathlib import Path
from safetensors.torch import load_file

def model():
    network = open_clip.CLIP(**json.loads(Path({config!r}).read_text())["model_cfg"])
    network.load_state_dict(load_file({weights!r}))
    return network, {{"mean": [0.45, 0.4, 0.35], "std": [0.25, 0.2, 0.3]}}, None

def tokenised():
    network, preprocess, _ = model()
    return network, preprocess, open_clip.SimpleTokenizer(context_length=24)

def broken():
    raise RuntimeError("no weights today")

def other():
    return open_clip.SimpleTokenizer()
"""


def test_a_model_comes_from_a_function_of_the_users(
    encoder: CLIP, config_file: Path, weights: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FUNCTION.format(config=str(config_file), weights=str(weights)))
    images = torch.rand(2, 3, 50, 60)
    for name in ("model", "tokenised"):
        own = CLIP(f"{file}:{name}")
        assert (own.dim, own.context_length) == (encoder.dim, encoder.context_length)
        torch.testing.assert_close(own.encode(TEXTS), encoder.encode(TEXTS))
        torch.testing.assert_close(own.encode_images(images), encoder.encode_images(images))
        with pytest.raises(BadArgument, match=r"the context of .* holds 24"):
            own.encode(["very " * 40 + "old"])
    assert CLIP(f"{file}:model").hash == CLIP(f"{file}:model").hash


def test_what_a_function_does_wrong_is_said_in_a_sentence(config_file: Path, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FUNCTION.format(config=str(config_file), weights=str(weights)))
    with pytest.raises(BadArgument, match="failed with RuntimeError: no weights today"):
        CLIP(f"{file}:broken").encode(["hat"])
    with pytest.raises(BadArgument, match=r"must return an open_clip model.* a SimpleTokenizer, has no encode_image"):
        CLIP(f"{file}:other").encode(["hat"])
    with pytest.raises(UnknownName, match="did you mean 'model'"):
        CLIP(f"{file}:modell").encode(["hat"])
    with pytest.raises(BadArgument, match="leave out weights"):
        CLIP(f"{file}:model", "x.pt").encode(["hat"])
    with pytest.raises(UnknownName, match="no module 'nowhere_at_all'"):
        CLIP("nowhere_at_all:model").encode(["hat"])
