"""Honest files of every known kind give back the network that was put in."""

import argparse
import io

import pytest
import torch

from advgen.core.errors import BadFile, MissingFile
from advgen.generators.stylegan2 import (
    DiscriminatorConfig,
    GeneratorConfig,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from advgen.generators.stylegan2.layouts import rosinality_discriminator, rosinality_generator
from advgen.generators.stylegan2.load import load_stylegan2


def images(net):
    z = torch.randn(4, net.z_dim, generator=torch.Generator().manual_seed(1))
    c = torch.eye(net.c_dim)[torch.arange(4) % net.c_dim] if net.c_dim else None
    with torch.no_grad():
        return net.synthesis(net.mapping(z, c, psi=0.7))


def logits(net):
    c = torch.eye(net.config.c_dim)[torch.arange(4) % net.config.c_dim] if net.config.c_dim else None
    with torch.no_grad():
        return net(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2)), c)


def torch_file(content, *, legacy=False):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def rosinality(net):
    return rosinality_generator(net.state_dict(), 2, 2) | {
        f"noises.noise_{i}": layer.noise_const[None, None] for i, layer in enumerate(net.synthesis.convs())
    }


@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("frozen", [False, True])
def test_an_official_pickle_gives_its_three_networks(little, official, write, c_dim, frozen):
    (net, judge), (raw, _) = little(0, c_dim=c_dim), little(1, c_dim=c_dim)
    found = load_stylegan2(write(official({"G": raw, "D": judge, "G_ema": net}, frozen=frozen)))
    assert found.generator.config == net.config
    assert found.discriminator.config == judge.config
    assert torch.equal(images(found.generator), images(net))
    assert torch.equal(images(found.raw_generator), images(raw))
    assert torch.equal(logits(found.discriminator), logits(judge))
    assert found.info == ("official pickle", ())


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_a_clamp_is_read_though_some_layers_never_clamp(official, write, architecture):
    net = StyleGAN2Generator(GeneratorConfig(8, (4, 4), z_dim=4, w_dim=4, architecture=architecture, conv_clamp=256.0))
    judge = StyleGAN2Discriminator(DiscriminatorConfig(8, (4, 4), architecture=architecture, conv_clamp=256.0))
    found = load_stylegan2(write(official({"G_ema": net, "D": judge})))
    assert found.generator.config == net.config
    assert found.discriminator.config.conv_clamp == 256.0


ASYMMETRIC = torch.tensor([[0.02, 0.05, 0.1, 0.03], [0.0, 0.3, 0.1, 0.1], [0.1, 0.0, 0.05, 0.05], [0.0, 0.1, 0.0, 0.0]])


def with_filter(net, fir):
    for name, buffer in net.named_buffers():
        if name.endswith("resample_filter"):
            net.get_submodule(name.rpartition(".")[0]).resample_filter = fir.to(buffer)
    return net


@pytest.mark.parametrize("fir", [ASYMMETRIC, torch.rand(7, 7)])
def test_a_filter_of_the_files_own_is_taken_from_the_layers_that_resample(little, official, write, fir):
    net, judge = (with_filter(net, fir) for net in little())
    found = load_stylegan2(write(official({"G_ema": net, "D": judge})))
    assert torch.equal(images(found.generator), images(net))
    assert torch.equal(logits(found.discriminator), logits(judge))


def test_a_long_filter_is_stored_as_its_factor(little, official, write):
    taps = torch.rand(8)
    net, _ = little()
    inside = load_stylegan2(write(official({"G_ema": with_filter(net, taps)}))).generator
    torch.testing.assert_close(inside.synthesis.b8.resample_filter, taps[:, None] * taps[None])


def test_two_filters_in_one_block_are_refused(little, official, write):
    net, _ = little()
    net.synthesis.b8.conv0.register_buffer("resample_filter", torch.rand(4, 4))
    with pytest.raises(BadFile, match=r"different filters in synthesis\.b8"):
        load_stylegan2(write(torch_file(net.state_dict()), "net.pt"))


@pytest.mark.parametrize("fir", [ASYMMETRIC])
def test_rosinality_stores_filters_behind_zeros_with_their_gain(little, write, fir):
    net, judge = (with_filter(net, fir) for net in little())
    content = {"g_ema": rosinality(net), "d": rosinality_discriminator(judge.state_dict(), 2)}
    found = load_stylegan2(write(torch_file({**content, "latent_avg": net.mean_w}), "net.pt"))
    torch.testing.assert_close(images(found.generator), images(net), atol=1e-6, rtol=0)
    assert torch.equal(logits(found.discriminator), logits(judge))


def test_half_precision_files_become_float32(little, official, write):
    net, _ = little()
    found = load_stylegan2(write(official({"G_ema": net}, half=True))).generator
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    torch.testing.assert_close(images(found), images(net), atol=2e-2, rtol=0)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_training_checkpoint_of_rosinality_gives_its_three_networks(little, write, legacy):
    (net, judge), (raw, _) = little(0), little(1)
    content = {
        "g": rosinality(raw),
        "g_ema": rosinality(net),
        "d": rosinality_discriminator(judge.state_dict(), 2),
        "latent_avg": net.mean_w,
        "g_optim": torch.optim.Adam(raw.parameters()).state_dict(),
        "args": argparse.Namespace(size=16),
        "ada_aug_p": 0.1,
    }
    found = load_stylegan2(write(torch_file(content, legacy=legacy), "net.pt"))
    assert found.generator.config == net.config
    assert torch.equal(images(found.generator), images(net))
    assert found.raw_generator is not None
    assert torch.equal(logits(found.discriminator), logits(judge))


@pytest.mark.parametrize("rows", [None, 6])
def test_an_encoder_checkpoint_gives_its_decoder_and_latent_avg(little, write, rows):
    net, _ = little()
    state = {f"decoder.{k}": v for k, v in rosinality(net).items()} | {"encoder.body.0.weight": torch.zeros(3)}
    mean = net.mean_w if rows is None else net.mean_w.repeat(rows, 1)
    content = {"state_dict": state, "latent_avg": mean, "opts": argparse.Namespace(n=1)}
    found = load_stylegan2(write(torch_file(content), "psp.pt"))
    torch.testing.assert_close(images(found.generator), images(net), atol=1e-6, rtol=0)
    assert found.info.format == "encoder checkpoint"


def test_a_missing_mean_is_measured_the_same_each_time_and_said(little, write):
    net, _ = little()
    path = write(torch_file({"g_ema": rosinality(net)}), "net.pt")
    one, two = load_stylegan2(path), load_stylegan2(path)
    assert torch.equal(one.generator.mean_w, two.generator.mean_w)
    with torch.no_grad():
        drawn = net.mapping(torch.randn(20_000, 6))[:, 0].mean(0)
    torch.testing.assert_close(one.generator.mean_w, drawn, atol=0.05, rtol=0)
    assert any("mean of w was not in the file" in note for note in one.info.notes)


def test_missing_noise_maps_are_said(little, write):
    net, _ = little()
    content = {"g_ema": rosinality_generator(net.state_dict(), 2, 2), "latent_avg": net.mean_w}
    content["g_ema"] = {k: v for k, v in content["g_ema"].items() if not k.startswith("noises")}
    found = load_stylegan2(write(torch_file(content), "net.pt"))
    assert any("noise maps were not in the file" in note for note in found.info.notes)


def test_rosinalitys_names_are_the_published_ones(little):
    """Written down from its program, at 16 pixels."""
    net, judge = little()
    shapes = {k: tuple(v.shape) for k, v in rosinality(net).items()}
    assert shapes["style.1.weight"] == (6, 6)
    assert shapes["input.input"] == (1, 8, 4, 4)
    assert shapes["conv1.conv.weight"] == (1, 8, 8, 3, 3)
    assert shapes["conv1.conv.modulation.weight"] == (8, 6)
    assert shapes["conv1.noise.weight"] == (1,)
    assert shapes["conv1.activate.bias"] == (8,)
    assert shapes["to_rgb1.conv.weight"] == (1, 3, 8, 1, 1)
    assert shapes["to_rgb1.bias"] == (1, 3, 1, 1)
    assert shapes["convs.2.conv.weight"] == (1, 4, 8, 3, 3)
    assert shapes["convs.3.conv.modulation.bias"] == (4,)
    assert shapes["to_rgbs.1.conv.weight"] == (1, 3, 4, 1, 1)
    assert shapes["noises.noise_4"] == (1, 1, 16, 16)
    torch.testing.assert_close(rosinality(net)["convs.0.conv.blur.kernel"].sum(), torch.tensor(4.0))
    names = rosinality_discriminator(judge.state_dict(), 2)
    assert names["convs.0.0.weight"].shape == (4, 3, 1, 1)
    assert names["convs.1.conv2.1.weight"].shape == (8, 4, 3, 3)
    assert names["convs.2.skip.1.weight"].shape == (8, 8, 1, 1)
    assert names["final_conv.0.weight"].shape == (8, 9, 3, 3)
    assert names["final_linear.0.weight"].shape == (8, 128)
    assert names["convs.1.conv2.0.kernel"].sum() == 1


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path):
    with pytest.raises(MissingFile, match="there is no file"):
        load_stylegan2(tmp_path / "none.pkl")
    with pytest.raises(BadFile, match="no ordinary file"):
        load_stylegan2(tmp_path)
