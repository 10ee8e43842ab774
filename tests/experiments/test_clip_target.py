"""CLIP against prompts is a target like any other: attacked, judged, refused in a sentence."""

import json

import pytest
import torch

from advgen.cli.main import main
from advgen.core.device import choose
from advgen.core.errors import BadArgument, MissingFile, UnknownName
from advgen.core.specs import DataSpec, Part
from advgen.experiments import clip_target
from advgen.experiments.assemble import Assembly
from advgen.experiments.study import parse

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PROMPTS = "clip:a zero|a one|a two|a three|a four|a five|a six|a seven|an eight|a nine"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Arguments of a small CLIP of random weights."""
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(**CONFIG)
    (folder / "clip.json").write_text(json.dumps(CONFIG))
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, folder / "clip.safetensors")
    return {"model": str(folder / "clip.json"), "weights": str(folder / "clip.safetensors")}


def test_logits_are_open_clips_own(model):
    import open_clip

    part = Part.of("clip:a red hat|a dog|  an old house ", model)
    target, card = Assembly(choose("cpu")).target(part, DataSpec("digits", "test", 4))
    assert target.classes == ("a red hat", "a dog", "an old house")
    network = open_clip.CLIP(**CONFIG).eval()
    from safetensors.torch import load_file

    network.load_state_dict(load_file(model["weights"]))
    mean, std = (torch.tensor(x)[:, None, None] for x in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    images = torch.rand(3, 1, 32, 32)  # the size of the digits
    texts = open_clip.SimpleTokenizer(context_length=12)(list(target.classes))
    with torch.no_grad():
        theirs, _ = network.get_logits((images - mean) / std, texts)
    torch.testing.assert_close(target(images).logits, theirs, atol=1e-4, rtol=1e-4)
    assert card.file_hash != clip_target.zero_shot(Part.of("clip:a red hat|a dog", model)).card.file_hash


def test_templates_are_ensembled_as_in_the_paper(model, tmp_path):
    (tmp_path / "templates.txt").write_text("a photo of {}\n\na drawing of {}\n")
    found = clip_target.zero_shot(Part.of("clip:a dog|a cat", {**model, "templates": str(tmp_path / "templates.txt")}))
    encoder = found.network.encoder
    rows = encoder.encode(["a photo of a cat", "a drawing of a cat"])
    torch.testing.assert_close(found.network.texts[1], torch.nn.functional.normalize(rows.mean(0), dim=0))
    plain = clip_target.zero_shot(Part.of("clip:a dog|a cat", {**model, "templates": "ensemble"}))
    assert not torch.allclose(plain.network.texts, found.network.texts, atol=1e-3)


def test_prompts_come_from_a_file_too(model, tmp_path):
    (tmp_path / "p.txt").write_text("a dog, sleeping\na cat\n")
    found = clip_target.zero_shot(Part.of(f"clip:@{tmp_path / 'p.txt'}", model))
    assert found.classes == ("a dog, sleeping", "a cat")
    with pytest.raises(MissingFile, match="of prompts"):
        clip_target.zero_shot(Part.of("clip:@none.txt", model))


@pytest.mark.parametrize(
    ("prompts", "args", "said"),
    [
        ("clip:a cat", {}, "has 1 prompts; two or more were expected"),
        ("clip:a cat||a dog", {}, "none empty"),
        ("clip:a cat|a cat", {}, "stands twice"),
        ("clip:a cat|A  cat", {}, "are the same to the model"),
        ("clip:a cat|" + "very " * 20 + "old dog", {}, "context of .* holds 12; shorten it"),
        ("clip:a cat|a dog", {"templates": "none.txt"}, "no file 'none.txt' of templates"),
        ("clip:a cat|a dog", {"temperature": 3}, "decision, stochastic, got temperature"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(model, prompts, args, said):
    with pytest.raises((BadArgument, MissingFile), match=said) as error:
        Assembly(choose("cpu")).target(Part.of(prompts, {**model, **args}), DataSpec("digits", "test", 4))
    assert "\n" not in str(error.value)


def test_a_model_that_is_not_there_gets_the_nearest_name():
    with pytest.raises(UnknownName, match="ViT-B-32"):
        clip_target.zero_shot(Part.of("clip:a cat|a dog", {"model": "ViT-B-31"}))


def test_a_prompt_that_is_too_long_is_cut_when_asked(model):
    long = "very " * 20 + "old dog"
    found = clip_target.zero_shot(Part.of(f"clip:a cat|{long}", {**model, "truncate": True}))
    assert found.classes == ("a cat", long)


def test_it_is_attacked_and_judged_like_any_target(model, tmp_path, capsys):
    named = ",".join([PROMPTS, *(f"{k}={v}" for k, v in model.items())])
    attack = ["attack", "image/pgd,steps=5", "digits", "--target", named, "--budget", "Linf 16/255", "--count", "4"]
    assert main([*attack, "--out", str(tmp_path / "a"), "--device", "cpu"]) == 0
    made = sorted((tmp_path / "a" / "images").rglob("*.png"))
    assert len(made) >= 4
    capsys.readouterr()
    pictures = [str(made[0]), str(made[0])]
    assert main(["judge", *pictures, "--target", named, "--out", str(tmp_path / "j"), "--device", "cpu"]) == 0
    assert "clean" in capsys.readouterr().out


def test_a_study_names_it_in_one_line(model):
    study = parse(
        {
            "name": "prompts",
            "question": "Do prompts hold?",
            "grids": [
                {
                    "data": [{"name": "digits", "split": "test", "count": 2}],
                    "targets": [{"name": PROMPTS, "args": model}],
                    "attacks": [{"name": "image/fgsm"}],
                    "budgets": [{"name": "Linf", "radius": "8/255"}],
                }
            ],
        },
        "here",
    )
    assert {cell.target.name for cell in study.cells()} == {PROMPTS}
