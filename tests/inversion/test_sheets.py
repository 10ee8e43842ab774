"""Contact sheets by seed: what stands where, checked against the generator itself."""

import pytest
import torch

from advgen.core.contact_sheets import read_facts
from advgen.core.errors import BadArgument
from advgen.core.images import to_uint8
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator, widths
from advgen.generators.stylegan2.sample import images_of, latents
from advgen.inversion.sheets import Sheets, numbers_of


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    maps = widths(16, channel_base=64, channel_max=8)
    made = StyleGAN2Generator(GeneratorConfig(16, maps, z_dim=6, w_dim=6, mapping_layers=2)).eval()
    made.mapping.w_avg.normal_()
    for layer in made.synthesis.convs():
        torch.nn.init.constant_(layer.noise_strength, 0.3)
    return made


def near(image, other):
    """Batches of another size may round a byte the other way."""
    return int((image.int() - other.int()).abs().max()) <= 1


@torch.no_grad()
def image_of(net, w):
    return to_uint8(net.synthesis(w[None]).clamp(0, 1))[0]


def test_a_grid_shows_each_seed_once_in_order(net):
    sheet = Sheets(net, psi=0.7).grid([3, 1, 4, 15, 9])
    shown = [(image, caption) for cells, row in zip(sheet.cells, sheet.captions) for image, caption in zip(cells, row)]
    assert [caption for _, caption in shown if caption] == ["seed 3", "seed 1", "seed 4", "seed 15", "seed 9"]
    expected = images_of(net, [3, 1, 4, 15, 9], psi=0.7)
    assert all(near(image, other) for (image, _), other in zip(shown, expected))
    assert [image for image, caption in shown if not caption] == [None]


def test_a_row_of_interpolation_begins_and_ends_with_its_seeds(net):
    sheet = Sheets(net).interpolation([0, 5, 2], steps=4)
    seeds = list(images_of(net, [0, 5, 2]))
    assert [len(row) for row in sheet.cells] == [4, 4]
    assert list(sheet.rows) == ["seed 0 to 5", "seed 5 to 2"]
    assert near(sheet.cells[0][0], seeds[0])
    assert near(sheet.cells[0][-1], seeds[1])
    assert near(sheet.cells[1][0], seeds[1])
    assert near(sheet.cells[1][-1], seeds[2])


def test_truncation_goes_from_the_seed_to_the_mean_image(net):
    sheet = Sheets(net).truncation([0, 1], [1.0, 0.5, 0.0])
    for row, seed in zip(sheet.cells, (0, 1)):
        for image, psi in zip(row, (1.0, 0.5)):
            assert near(image, next(images_of(net, [seed], psi=psi)))
        assert near(row[2], image_of(net, net.mean_w.expand(net.num_ws, -1)))


def test_a_mixing_sheet_shows_its_sources_on_the_margins_and_their_crossover_inside(net):
    sheet = Sheets(net, psi=0.8).mixing([0, 1], [7, 8, 9], layers=[0, 2])
    assert sheet.cells[0][0] is None
    assert all(near(image, other) for image, other in zip(sheet.cells[0][1:], images_of(net, [7, 8, 9], psi=0.8)))
    assert all(near(row[0], other) for row, other in zip(sheet.cells[1:], images_of(net, [0, 1], psi=0.8)))
    with torch.no_grad():
        down, across = (net.mapping(latents(net, [seed]), psi=0.8)[0] for seed in (1, 9))
    mixed = down.clone()
    mixed[[0, 2]] = across[[0, 2]]
    assert near(sheet.cells[2][3], image_of(net, mixed))


def test_mixing_takes_the_coarse_half_of_a_small_generator_by_default(net):
    assert Sheets(net).mixing([0], [1]).facts["layers"] == [0, 1, 2]


def test_random_noise_of_a_cell_is_its_own_and_comes_back(net):
    one, other = (Sheets(net, noise="random").grid([0, 1]) for _ in range(2))
    assert all(torch.equal(a, b) for row, again in zip(one.cells, other.cells) for a, b in zip(row, again))
    assert not torch.equal(one.cells[0][0], Sheets(net).grid([0, 1]).cells[0][0])


def test_every_sheet_names_its_seeds_and_settings_in_the_file(net, tmp_path):
    sheets = Sheets(net, 0.7, cutoff=3, source={"weights": "net.pkl", "sha256": "ab"})
    made = {
        "grid": sheets.grid([0, 9]),
        "interpolation": sheets.interpolation([0, 9], steps=3),
        "truncation": sheets.truncation([0, 9], [1.0, 0.0]),
        "mixing": sheets.mixing([0], [9]),
    }
    for kind, sheet in made.items():
        sheet.save(tmp_path / f"{kind}.png")
        facts = read_facts(tmp_path / f"{kind}.png")
        seeds = facts.get("seeds") or facts["rows"] + facts["columns"]
        assert (facts["sheet"], seeds, facts["cutoff"], facts["sha256"]) == (kind, [0, 9], 3, "ab")
        assert facts["psi"] == (None if kind == "truncation" else 0.7)
        assert "net.pkl" in sheet.footer


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda sheets: sheets.interpolation([1]), "needs two or more, got 1"),
        (lambda sheets: sheets.mixing([0], [1], layers=[6]), "row 6 was asked for; these latents have rows 0 to 5"),
        (lambda sheets: sheets.grid([]), "at least one seed"),
        (lambda sheets: sheets.grid(range(3000)), "3000 seeds was asked for; at most 2500"),
        (lambda sheets: sheets.mixing(range(100), range(100)), "100 x 100 images was asked for"),
        (lambda sheets: numbers_of("1,x", "--psis"), "--psis must be a number"),
        (lambda sheets: numbers_of("1,,2", "--psis"), "--psis must be a number"),
    ],
)
def test_bad_input_is_one_sentence(net, call, sentence):
    with pytest.raises(BadArgument, match=sentence):
        call(Sheets(net))
