"""What a study asks for by recipe is kept, until shipped weights that it is made from are other ones."""

import pytest

from advgen.core import checkpoints
from advgen.core.errors import UnknownName
from advgen.experiments import trained


def test_weights_that_were_trained_anew_make_another_checkpoint_of_what_hangs_on_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "places", lambda: (tmp_path,))
    of_named, by_default, alone = "recipe:dae:classifier=teacher", "recipe:text_to_latent:width=8", "recipe:dae:width=8"
    for name in ("teacher", "stylegan2_avatars_64"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"one")
    for ref in (of_named, by_default, alone):
        trained._folder(ref).mkdir(parents=True)
        (trained._folder(ref) / "done").touch()
    assert [trained.is_trained(ref) for ref in (of_named, by_default, alone)] == [True, True, True]
    for name in ("teacher", "stylegan2_avatars_64"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"other")
    assert [trained.is_trained(ref) for ref in (of_named, by_default, alone)] == [False, False, True]


def test_a_recipe_that_nobody_knows_is_refused():
    with pytest.raises(UnknownName, match="text_to_latent"):
        trained.is_trained("recipe:text_to_latents:width=8")
