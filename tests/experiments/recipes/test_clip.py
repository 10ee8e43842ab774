"""A CLIP of one's own pictures: captions from a CSV or from text files, and sentences where they are missing."""

import numpy as np
import pytest
import torch
from PIL import Image

from advgen.core import registry
from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.meter import Meter
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.recipes import _clip_train as clip_train
from advgen.experiments.recipes._own_captions import read_captioned

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (230, 220, 40)}
SMALL = {"size": 32, "width": 8, "text_width": 16, "dim": 16, "batch_size": 16, "context": 12}


def paint(folder, n=64, *, captions):
    """Squares of four colours, of many shades; captions in a `csv` or `txt` files."""
    draws = np.random.default_rng(0)
    lines = ["file,caption"]
    for k in range(n):
        name = list(COLOURS)[k % 4]
        shade = np.clip(np.array(COLOURS[name]) + draws.integers(-25, 25, 3), 0, 255)
        file = folder / "in" / f"{k:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 52, 3), shade, np.uint8)).save(file)
        if captions == "txt":
            file.with_suffix(".txt").write_text(f"a {name} square\n{name}\n\n")
        lines += [f"in/{k:02}.png,a {name} square", f'in/{k:02}.png," {name}  "']
    if captions == "csv":
        (folder / "captions.csv").write_text("\n".join(lines))
    return folder


def train(out, folder, **args):
    recipe = registry.create("recipes", "clip", **{**SMALL, "data": str(folder), **args})
    return recipe.train(out, seed=0, device="cpu", resume=False, limit=None, meter=Meter())


def test_csv_and_text_files_say_the_same(tmp_path):
    one = read_captioned(paint(tmp_path / "a", captions="csv"), None, 32)
    other = read_captioned(paint(tmp_path / "b", captions="txt"), None, 32)
    assert one.captions[:2] == (("a red square", "red"), ("a green square", "green"))
    assert one.images_u8.shape == (64, 3, 32, 32)
    assert one.hash() == other.hash()


def test_it_learns_colours_and_loads_as_a_clip(tmp_path):
    card = train(tmp_path / "out", paint(tmp_path / "a", captions="csv"), epochs=25, learning_rate=5e-3)
    assert card.metrics["R@1 image to text"]["value"] == 1.0
    assert card.metrics["R@1 image to text"]["n"] == 6
    encoder = CLIP(str(tmp_path / "out" / "clip_own.safetensors"))
    assert encoder.unknown("a purple square") == ("purple",)
    texts = encoder.encode([f"a {name} square" for name in COLOURS])
    squares = torch.tensor(list(COLOURS.values()))[:, :, None, None].expand(-1, -1, 50, 50) / 255
    assert (encoder.encode_images(squares) @ texts.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_what_is_missing_is_said_in_a_sentence(tmp_path):
    folder = paint(tmp_path / "a", captions="none")
    with pytest.raises(BadFile, match=r"'in/00.png' has no caption in a text file of its name .nor have 63 more"):
        read_captioned(folder, None, 32)
    (tmp_path / "some.csv").write_text("file,caption\nin/00.png,a red square\n")
    with pytest.raises(BadFile, match=r"'in/01.png' has no caption in .*some.csv"):
        read_captioned(folder, tmp_path / "some.csv", 32)
    (tmp_path / "wrong.csv").write_text("file,text\nin/00.png,a red square\n")
    with pytest.raises(BadFile, match="has no column 'caption'"):
        read_captioned(folder, tmp_path / "wrong.csv", 32)
    with pytest.raises(MissingFile, match="no file or folder"):
        read_captioned(tmp_path / "nowhere", None, 32)
    with pytest.raises(BadArgument, match="12 pictures were found; 20 or more"):
        train(tmp_path / "out", paint(tmp_path / "few", 12, captions="csv"))
    with pytest.raises(BadArgument, match="has 5 pieces and context=4"):
        train(tmp_path / "out", paint(tmp_path / "c", captions="csv"), context=4)


def test_texts_at_their_own_length_are_encoded_as_open_clip_does():
    from open_clip import CLIP as Network

    torch.manual_seed(0)
    network = Network(**clip_train.config(32, 8, 16, 16, 50, 12)).eval()
    numbers = torch.zeros(3, 12, dtype=torch.long)
    for k, length in enumerate((3, 5, 8)):
        numbers[k, :length] = torch.randint(1, 49, (length,))
        numbers[k, length] = 49
    expected = network.encode_text(numbers, normalize=True)
    torch.testing.assert_close(clip_train.texts_encoded(network, numbers), expected, atol=1e-5, rtol=1e-4)


def test_the_loss_of_short_texts_compares_within_a_group_and_over_images():
    logits = torch.tensor([[2.0, 1.0, 0.5, 9.0], [0.0, 3.0, 0.5, -1.0]])
    right = torch.tensor([[True, False, False, False], [False, True, False, True]])
    wrong = torch.tensor([[False, True, False, True], [True, False, False, False]])  # the third is unknown of both
    groups = torch.tensor([0, 0, 0, 1])
    softplus = torch.nn.functional.softplus
    # In the second group the only right pair has nothing wrong beside it.
    first = (softplus(torch.tensor(1.0 - 2.0)) + softplus(torch.tensor(0.0 - 3.0))) / 2
    by_image = torch.stack([softplus(torch.tensor(x)) for x in (0.0 - 2.0, 1.0 - 3.0, 9.0 + 1.0)]).mean()
    found = clip_train.short_texts(logits, right, wrong, groups)
    assert float(found) == pytest.approx(float(clip_train.BY_GROUP * first / 2 + by_image / 2))
