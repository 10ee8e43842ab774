"""What attacks on latents are given, and that a cell's key hangs on it."""

import pytest

from advgen.core.device import choose
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part
from advgen.experiments import latent_parts
from advgen.experiments.assemble import Assembly
from advgen.inversion.encoder import belonging

AVATARS = DataSpec("avatars", "test", 2, 64, ())


def cell(attack, **args):
    return Cell(
        AVATARS, Part.of("judge_identity_64", {}), Part.of("untargeted", {}), Part.of(attack, args),
        BudgetSpec("Latent", "0.5"), (), "oblivious", None, 0, 1,
    )  # fmt: skip


def test_the_shipped_generator_of_the_data_is_taken_and_the_encoder_that_belongs_to_it():
    name = latent_parts.generator_name(None, AVATARS, 64)
    assert name == "stylegan2_avatars_64"
    assert belonging(name) == "stylegan2_avatars_64_encoder"
    with pytest.raises(MissingFile, match="no generator is shipped for digits at 32 pixels"):
        latent_parts.generator_name(None, AVATARS._replace(name="digits"), 32)


def test_a_text_attack_names_its_clip_and_says_that_it_stands_in():
    assembly = Assembly(choose("cpu"))
    found = assembly._hashes_of_needs("attacks", cell("latent/text", prompt="red hair").attack)
    assert found["attack:clip"]
    assert assembly.stand_ins["published CLIP"] == "clip_avatars_64"


def test_files_of_directions_count_by_what_is_in_them(tmp_path):
    file = tmp_path / "smile.safetensors"
    file.write_bytes(b"one")
    before = latent_parts.direction_hashes(str(file))
    file.write_bytes(b"other")
    assert before != latent_parts.direction_hashes(str(file))
    assert latent_parts.direction_hashes("sefa:8") == {}
    with pytest.raises(MissingFile, match="there is no file 'nowhere"):
        latent_parts.direction_hashes("nowhere.safetensors")


@pytest.mark.parametrize("along", ["sefa:0", "sefa:many"])
def test_a_number_of_factors_that_is_none_is_refused(along):
    generator = Assembly(choose("cpu")).generator("stylegan2_avatars_64")
    with pytest.raises(BadArgument, match="sefa: takes a number of directions"):
        latent_parts.directions(along, generator)
