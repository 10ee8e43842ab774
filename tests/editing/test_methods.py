"""Latent optimisation, mappers, baselines, strengths, regions and tables of what a direction changes."""

import pytest
import torch
from torch.nn import functional

from advgen.core.errors import BadArgument, BadFile, UnknownName
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.editing.baselines import along, best_of, from_labels, random_like, sefa, style_weights
from advgen.editing.edits import Edit, Judges
from advgen.editing.entanglement import attribute_table, entanglement
from advgen.editing.latent import LatentOptimisation
from advgen.editing.mapper import LatentMapper, MapperLoss, description, load_mapper, rows_of
from advgen.editing.prompts import ensembled
from advgen.editing.regions import feathered, found, kept_inside
from advgen.editing.shifts import Shift, edited
from advgen.editing.strength import Wanted, chosen
from advgen.editing.stylespace import sampled_w


def cosine(colours, generator, w, text):
    with torch.no_grad():
        return colours.encode_images(generator.synthesis(w).clamp(0, 1)) @ text


def test_optimisation_comes_nearer_to_the_text(generator, colours) -> None:
    text, w = ensembled(colours, "red"), sampled_w(generator, 4, seed=3)
    meter = Meter()
    shift = LatentOptimisation(generator, colours, steps=30).shift(w, text, meter=meter)
    assert (cosine(colours, generator, w + shift.w, text) > cosine(colours, generator, w, text)).all()
    assert meter.generator_calls == 4 * 31


def test_the_text_is_encoded_once(generator, colours) -> None:
    text = ensembled(colours, "red", ("{}",))
    LatentOptimisation(generator, colours, steps=5).shift(sampled_w(generator, 1), text, meter=Meter())
    assert colours.encoded == 1


def test_a_batch_ends_where_single_runs_would(generator, colours) -> None:
    generator = generator.double()
    try:
        text, w = ensembled(colours, "red").double(), sampled_w(generator, 3).double()
        work = LatentOptimisation(generator, colours, steps=6)
        whole = work.shift(w, text, meter=Meter()).w
        alone = torch.cat([work.shift(w[i : i + 1], text, meter=Meter()).w for i in range(3)])
    finally:
        generator.float()
    assert (whole - alone).abs().max() < 1e-7


def test_a_heavier_l2_stays_nearer(generator, colours) -> None:
    text, w = ensembled(colours, "red"), sampled_w(generator, 4)
    far = [
        LatentOptimisation(generator, colours, steps=20, l2_weight=weight).shift(w, text, meter=Meter()).w.norm()
        for weight in (0.0, 0.01, 1.0)
    ]
    assert far[0] > far[1] > far[2]


def test_an_identity_weight_keeps_the_identity(generator, colours) -> None:
    def identity(images):
        return functional.normalize(functional.adaptive_avg_pool2d(images, 4).flatten(1) - 0.5, dim=1)

    text, w = ensembled(colours, "red"), sampled_w(generator, 4)
    alike = []
    for weight in (0.0, 1.0):
        work = LatentOptimisation(generator, colours, identity, steps=20, l2_weight=0.0, identity_weight=weight)
        shift = work.shift(w, text, meter=Meter())
        with torch.no_grad():
            before, after = (identity(edited(generator, w, s).clamp(0, 1)) for s in (Shift(), shift))
        alike.append(float((before * after).sum(1).mean()))
    assert alike[1] > alike[0]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": 0.0}, {"l2_weight": -1.0}])
def test_settings_that_cannot_be_are_refused(generator, colours, wrong) -> None:
    with pytest.raises(BadArgument):
        LatentOptimisation(generator, colours, **wrong)


def test_the_groups_of_a_mapper_are_the_published_rows() -> None:
    assert [rows_of(g, 18) for g in ("coarse", "medium", "fine")] == [slice(0, 4), slice(4, 8), slice(8, 18)]
    assert [rows_of(g, 6) for g in ("coarse", "medium", "fine")] == [slice(0, 4), slice(4, 6), slice(8, 8)]


def test_rows_of_a_group_that_is_left_out_stay() -> None:
    torch.manual_seed(0)
    w = torch.randn(2, 10, 8)
    change = LatentMapper(10, 8, ("coarse", "medium"))(w)
    assert (change[:, 8:] == 0).all()
    assert (change[:, :8] != 0).any(2).all()


def test_a_trained_mapper_serves_latents_it_has_not_seen(generator, colours, tmp_path) -> None:
    from advgen.core import checkpoints

    torch.manual_seed(0)
    text = ensembled(colours, "red")
    mapper = LatentMapper(generator.num_ws, generator.w_dim)
    loss = MapperLoss(generator, colours, text, l2_weight=0.01)  # the little generator's CLIP terms are small
    optimiser = torch.optim.Adam(mapper.parameters(), lr=0.5)
    w = sampled_w(generator, 64)
    for step in range(24):
        optimiser.zero_grad()
        loss(mapper, w[step % 8 :: 8]).mean().backward()
        optimiser.step()
    card = Card("red", "mapper", "latent_mapper", description(mapper, generator), 0, "", "", {}, {}, "MIT")
    checkpoints.save(tmp_path / "red.safetensors", mapper.state_dict(), card)
    loaded = load_mapper(str(tmp_path / "red.safetensors"), generator)
    new = sampled_w(generator, 32, seed=77)
    shift = loaded.network.shift(new)
    assert (
        cosine(colours, generator, new + shift.w, text) > cosine(colours, generator, new, text)
    ).double().mean() > 0.9


def test_a_mapper_belongs_to_its_generator(generator, other, tmp_path) -> None:
    from advgen.core import checkpoints

    mapper = LatentMapper(generator.num_ws, generator.w_dim)
    card = Card("m", "mapper", "latent_mapper", description(mapper, generator), 0, "", "", {}, {}, "MIT")
    checkpoints.save(tmp_path / "m.safetensors", mapper.state_dict(), card)
    with pytest.raises(BadFile, match="trained for another generator"):
        load_mapper(str(tmp_path / "m.safetensors"), other)
    checkpoints.save(tmp_path / "m.safetensors", mapper.state_dict(), card._replace(kind="classifier"))
    with pytest.raises(BadFile, match="is a classifier; a mapper"):
        load_mapper(str(tmp_path / "m.safetensors"), generator)


@pytest.mark.parametrize(("variant", "torgb", "scaled"), [("official", -1, True), ("rosinality", 0, False)])
def test_sefa_is_the_singular_vectors_of_the_affine_weights(generator, variant, torgb, scaled) -> None:
    """Read from the state dict, as the published programs do."""
    state = generator.state_dict()
    convs = [v for n, v in state.items() if n.endswith("affine.weight") and "conv" in n]
    rgbs = [v for n, v in state.items() if n.endswith("affine.weight") and "torgb" in n]
    rows = torch.cat([*convs, rgbs[torgb]]).double() / generator.w_dim**0.5
    if scaled:
        rows = rows / rows.norm(dim=1, keepdim=True)
    expected = torch.linalg.svd(rows)
    found = sefa(generator, variant=variant)
    assert torch.allclose(found.values.double(), expected.S.square(), rtol=1e-3)
    alike = (found.directions.double() * expected.Vh).sum(1).abs()
    assert (alike[:6] > 0.999).all()


def test_the_two_variants_of_sefa_differ(generator) -> None:
    one, two = (sefa(generator, variant=v).directions[0] for v in ("official", "rosinality"))
    assert (one @ two).abs() < 0.99
    with pytest.raises(BadArgument, match="official and rosinality"):
        sefa(generator, variant="paper")


def test_no_direction_of_w_moves_the_styles_of_a_layer_more_than_its_first(generator) -> None:
    first = sefa(generator, variant="rosinality", layer=1).directions[0]
    weights = style_weights(generator)[1]
    others = functional.normalize(torch.randn(500, generator.w_dim, generator=torch.Generator().manual_seed(0)), dim=1)
    assert (weights @ first).norm() >= (others @ weights.T).norm(dim=1).max()


def test_labels_of_a_known_boundary_give_its_normal() -> None:
    rng = torch.Generator().manual_seed(0)
    normal = functional.normalize(torch.randn(12, generator=rng), dim=0)
    w = torch.randn(3000, 12, generator=rng)
    found = from_labels(w, (w @ normal > 0.3).long())
    assert found @ normal > 0.99
    with pytest.raises(BadArgument, match="both labels"):
        from_labels(w, torch.ones(3000))


def test_a_random_shift_has_the_same_length_and_as_many_channels(generator) -> None:
    own = Shift(s=torch.tensor([[0.0, 3.0, 4.0, 0.0, 0.0]]), w=along(torch.ones(16), generator).w)
    drawn = random_like(own, seed=1)
    assert drawn.s.norm() == pytest.approx(5.0, rel=1e-5)
    assert (drawn.s != 0).sum() == 2
    assert drawn.w.norm() == pytest.approx(float(own.w.norm()), rel=1e-5)
    assert torch.equal(random_like(own, seed=1).s, drawn.s)
    assert not torch.equal(random_like(own, seed=2).s, drawn.s)


def test_more_samples_are_never_worse(generator, colours) -> None:
    text = ensembled(colours, "red")

    def score(images):
        return colours.encode_images(images) @ text

    best = best_of(generator, score, (4, 5, 6), calls=8)
    assert best.w.shape == (3, generator.num_ws, generator.w_dim)
    for seed, highest in zip((4, 5, 6), best.score, strict=True):
        assert highest == pytest.approx(
            float(cosine(colours, generator, sampled_w(generator, 8, seed=seed), text).max())
        )
    assert (best_of(generator, score, (4, 5, 6), calls=2).score <= best.score + 1e-6).all()


def brighter(strength, index):
    return torch.full((len(index), 1, 2, 2), 0.1) * (1 + strength)


def test_the_smallest_strength_that_does_it_is_chosen() -> None:
    originals = torch.full((2, 1, 2, 2), 0.1)
    wanted = Wanted(lambda images: images.mean((1, 2, 3)), 0.25)
    found = chosen(brighter, originals, wanted, steps=(1, 2, 3, 4))
    assert found.strength.tolist() == [3, 3]
    assert found.done.all()


def test_a_budget_ends_the_search() -> None:
    originals = torch.full((1, 1, 2, 2), 0.1)
    wanted = Wanted(lambda images: images.mean((1, 2, 3)), 0.25, None, lambda a, b: (a - b).abs().mean((1, 2, 3)), 0.21)
    found = chosen(brighter, originals, wanted, steps=(1, 2, 3, 4))
    assert found.strength.tolist() == [2]
    assert not found.done.any()


def test_a_verdict_counts_beside_the_gain() -> None:
    originals = torch.full((1, 1, 2, 2), 0.1)
    wanted = Wanted(lambda images: images.mean((1, 2, 3)), 0.0, lambda images: images.mean((1, 2, 3)) > 0.45)
    assert chosen(brighter, originals, wanted, steps=(1, 2, 4)).strength.tolist() == [4]
    with pytest.raises(BadArgument, match="must rise"):
        chosen(brighter, originals, wanted, steps=(2, 1))


def test_outside_a_region_the_original_stays() -> None:
    originals, made = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    found = kept_inside(made, originals, mask, pixels=2)
    assert (found[..., 4:8, 4:8] == 1).all()
    assert (found[..., :, 12:] == 0).all()
    assert torch.equal(kept_inside(made, originals, mask, pixels=0)[0, :1], mask[0])
    assert (feathered(mask)[..., 4, 8] > 0).all()


def test_a_region_is_where_the_change_serves_the_text(generator, colours) -> None:
    """`light` is about the upper half alone, and so is its region."""
    w, shift = sampled_w(generator, 6), Shift(w=0.5 * torch.ones(1, generator.num_ws, generator.w_dim))
    text = functional.normalize(torch.tensor([-1.0, -1.0, -1.0, 3.0]), dim=0)
    masks = [found(generator, colours, w, shift, text, share=share) for share in (0.0, 0.5, 1.0)]
    assert masks[0].min() == 1
    assert masks[0].sum() > masks[1].sum() > masks[2].sum() >= 1
    each = found(generator, colours, w, shift, text, each=True, share=0.5, blur=0)
    assert each.shape == (6, 1, 16, 16)
    with pytest.raises(BadArgument, match="share"):
        found(generator, colours, w, shift, text, share=2.0)


def test_the_table_says_what_turned() -> None:
    before = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    after = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    rows = attribute_table(before, after, lambda x: x * 2 - 1, ("glasses", "hat"))
    assert [(r.attribute, r.before, r.after, r.turned_on, r.turned_off, r.n) for r in rows] == [
        ("glasses", 0.5, 1.0, 0.5, 0.0, 4),
        ("hat", 0.5, 0.25, 0.0, 0.25, 4),
    ]
    matrix = entanglement(before, [after, before], lambda x: x * 2 - 1)
    assert matrix.shape == (2, 2)
    assert (matrix[1] == 0).all()
    assert matrix[0, 0] > 0 > matrix[0, 1]


def test_edits_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"globel.*did you mean 'global'"):
        Edit(("x",), method="globel")
    with pytest.raises(BadArgument, match="2 texts and 1 mappers"):
        Edit(("x", "y"), method="mapper", files=("a",))
    with pytest.raises(UnknownName, match="attribute 'hat'"):
        Judges(names=("glasses",), wanted=(("hat", True),))
