"""A face matcher over a gallery is a target like any other: attacked, judged, refused in a sentence."""

import json

import pytest
import torch
import torch.nn.functional as F

from advgen.cli.main import main
from advgen.core import checkpoints
from advgen.core.device import choose
from advgen.core.errors import BadArgument
from advgen.core.images import save_png, to_float
from advgen.core.specs import BudgetSpec, Card, Cell, DataSpec, Part
from advgen.experiments import matcher_target
from advgen.experiments.assemble import Assembly
from advgen.experiments.data._load import load
from advgen.experiments.run import run
from advgen.experiments.study import parse
from advgen.zoo.load import Network
from advgen.zoo.networks import build

KWARGS = {"size": 32, "border": 4, "width": 6, "dimensions": 16}
DATA = DataSpec("avatars", "test", 8, 32, (("identities", 10),))


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Writes a matcher of random weights, with a threshold on its card unless None; gives its path."""

    def written(threshold=0.5, kind="matcher"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build("face-cnn", **KWARGS)
        path = tmp_path_factory.mktemp("matcher") / "faces.safetensors"
        described = Network("face-cnn", KWARGS, (), (3, 32, 32), "sign")
        card = Card(
            name="faces", kind=kind, recipe="matcher", args={**described.to_args(), "scale": 8.0}, seed=0,
            data_hash="", file_hash="", metrics={} if threshold is None else {"threshold": threshold}, cost={},
            licence="MIT",
        )  # fmt: skip
        checkpoints.save(path, network.state_dict(), card)
        return str(path)

    return written


@pytest.fixture(scope="module")
def path(make):
    return make()


@pytest.fixture(scope="module")
def assembly():
    return Assembly(choose("cpu"))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder per person with two pictures each, and one more picture of the first person beside it."""
    folder = tmp_path_factory.mktemp("people")
    sample = load(DataSpec("avatars", "train", 256, 32, (("identities", 10),)))
    for person, name in ((0, "anna"), (1, "bela"), (2, "cora")):
        rows = (sample.labels == person).nonzero()[:3, 0].tolist()
        for k in rows[:2]:
            save_png(sample.images_u8[k], folder / "gallery" / name / f"{k}.png")
        save_png(sample.images_u8[rows[2]], folder / "probes" / name / f"{rows[2]}.png")
    return folder


def cell(path, goal, **args):
    return Cell(DATA, Part.of(f"matcher:{path}", args), goal, Part("image/pgd"), BudgetSpec("Linf", "8/255"))


def test_logits_are_cosines_with_enrolled_pictures_less_the_threshold(path, assembly):
    target, card = assembly.target(Part(f"matcher:{path}"), DATA)
    sample = load(DATA)
    enrolled = target.network.enrolled
    assert (target.decision, target.classes, card.kind) == ("sign", sample.classes, "matcher")
    with torch.no_grad():
        probes, places = (
            target.network.network(to_float(x)) for x in (sample.images_u8, torch.cat(enrolled.images_u8))
        )
        said = target(sample.images).logits
    torch.testing.assert_close(said, 8.0 * (F.cosine_similarity(probes[:, None], places[None], dim=2) - 0.5))


def test_several_enrolled_pictures_count_by_their_mean(path, assembly):
    target, _ = assembly.target(Part.of(f"matcher:{path}", {"enrolled": 3}), DATA)
    assert {len(images) for images in target.network.enrolled.images_u8} == {3}
    with torch.no_grad():
        first = target.network.network(to_float(target.network.enrolled.images_u8[0])).mean(0)
    torch.testing.assert_close(target.network.places[0], F.normalize(first, dim=0))


def test_no_attacked_picture_is_enrolled(path):
    data = DATA._replace(split="train", count=40)
    sample = load(data)
    enrolled = matcher_target.enrol(None, 1, data, sample, Assembly(choose("cpu")).first)
    assert not {i for ids in enrolled.ids for i in ids} & set(sample.ids)
    assert enrolled.persons == sample.classes


def test_the_gallery_counts_in_the_hash_that_keys_rest_on(path, assembly, people):
    one, more = (assembly.target(Part.of(f"matcher:{path}", {"enrolled": k}), DATA)[1] for k in (1, 2))
    assert one.file_hash != more.file_hash


@pytest.mark.parametrize("wanted", ["random", "next", "nearest", "person 3"])
def test_nobody_is_to_be_taken_for_himself(path, assembly, wanted):
    sample = load(DATA)
    at = (sample.labels != 3).nonzero()[:, 0]
    found = assembly.wanted(cell(path, Part.of("impersonate", {"wanted": wanted})), sample, at, 10)
    assert bool((found != sample.labels[at]).all())
    if wanted == "nearest":
        logits = assembly.target(Part(f"matcher:{path}"), DATA)[0](sample.images[at]).logits.detach()
        others = logits.scatter(1, sample.labels[at][:, None], -torch.inf)
        assert bool((others.gather(1, found[:, None])[:, 0] == others.amax(1)).all())


def test_the_source_as_the_wanted_person_is_refused(path, assembly):
    sample = load(DATA)
    own = sample.classes[int(sample.labels[2])]
    with pytest.raises(BadArgument, match="shows already; an impersonation needs another person"):
        assembly.wanted(cell(path, Part.of("impersonate", {"wanted": own})), sample, torch.arange(len(sample.ids)), 10)


def test_what_cannot_be_a_matcher_is_refused_in_a_sentence(make, path, assembly, people):
    for part, data, said in (
        (Part(f"matcher:{make(None)}"), DATA, "no calibrated threshold"),
        (Part("matcher:digits_classifier"), DATA, "is a classifier, not a matcher"),
        (Part.of("matcher:judge_identity_64", {"threshold": 0.4}), DATA, "is a judge, not a matcher"),
        (Part(path), DATA, "name it matcher:"),
        (Part(f"matcher:{path}"), DATA._replace(size=48), r"takes faces of 32x32 pixels, and these have 48x48"),
        (Part.of(f"matcher:{path}", {"enrolled": 0}), DATA, "enrolled must be at least 1"),
        (Part.of(f"matcher:{path}", {"galery": "x"}), DATA, "takes the arguments gallery, enrolled"),
        (Part.of(f"matcher:{path}", {"gallery": str(people / "gallery")}), DATA, "more persons are not enrolled"),
    ):
        with pytest.raises(BadArgument, match=said):
            assembly.target(part, data)


def test_attacks_of_every_family_dodge_and_impersonate(path, tmp_path):
    study = parse(
        {
            "name": "faces",
            "question": "Is a matcher attacked like any other target?",
            "grids": [
                {
                    "data": [{"name": "avatars", "count": 6, "size": 32, "args": {"identities": 10}}],
                    "targets": [f"matcher:{path}"],
                    "goals": ["impersonate", "evade-identity"],
                    "attacks": [
                        {"name": "image/pgd", "args": {"steps": 10}},
                        {"name": "image/apgd", "args": {"steps": 10}},
                        {"name": "blackbox/square", "args": {"queries": 20}},
                        {"name": "minimum/ddn", "args": {"steps": 20}},
                    ],
                    "budgets": [{"name": "Linf", "radius": "64/255"}],
                    "controls": False,
                }
            ],
        },
        "faces",
    )
    rows = run(study, tmp_path, device="cpu").rows()
    assert not rows["error"].fillna("").any()
    people = dict(zip(rows["sample_id"], rows["cluster"], strict=True))
    assert set(people.values()) <= {f"0/{k}" for k in range(10)}
    won = rows[rows["attack"] == "image/pgd"].groupby("goal")["success_saved"].mean()
    clean = rows[rows["attack"] == ""].groupby("goal")["success_saved"].mean()
    assert (won["impersonate"], won["evade-identity"]) == (1.0, 1.0)
    assert clean["impersonate"] <= won["impersonate"]


def test_ones_own_faces_are_compared_with_a_folder_a_person(path, people, tmp_path, capsys):
    target = f"matcher:{path},gallery={people / 'gallery'},enrolled=2"
    argv = ["attack", "image/pgd,steps=4", str(people / "probes"), "--target", target, "--out", str(tmp_path / "out")]
    assert main([*argv, "--goal", "impersonate,wanted=cora", "--device", "cpu"]) == 2
    assert "shows already" in capsys.readouterr().err
    assert main([*argv, "--goal", "impersonate,wanted=nearest", "--device", "cpu"]) == 0
    clusters = json.loads((tmp_path / "out" / "run" / "clusters.json").read_text())
    assert sorted(clusters.values()) == ["anna", "bela", "cora"]
    argv[argv.index("--target") + 1] = f"matcher:{path}"
    assert main([*argv, "--device", "cpu"]) == 2
    assert "gallery=folder:PATH" in capsys.readouterr().err


def test_ones_own_network_is_a_matcher_once_it_is_given_a_threshold(assembly, tmp_path):
    (tmp_path / "mine.py").write_text("import torch\n\n\ndef make():\n    return torch.nn.Flatten()\n")
    part = Part.of(f"matcher:{tmp_path / 'mine.py'}:make", {"threshold": 0.9})
    target, _ = assembly.target(part, DATA)
    assert target(load(DATA).images).logits.shape == (8, 10)
    with pytest.raises(BadArgument, match="no calibrated threshold"):
        assembly.target(Part(part.name), DATA)
