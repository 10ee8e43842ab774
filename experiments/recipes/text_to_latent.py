"""A map from text to the latents of one generator: a joint space of both, and a conditional mapper p(w | text).

Trained on the generator's own samples, captioned by a network, and on captioned portraits inverted by an encoder; on
vectors alone, in a minute or two of one core. Most phrases say a few of the things that are there, as people do. Words
of captions that have no vector, or occur under 20 times in the corpus, stand on the card by name. Controls: `shuffled`
captions, and `random:` vectors, which know every word that the true ones know and nothing of its meaning.

See `advgen.editing.joint` and `advgen.editing.conditional` for the methods and their papers.
"""

import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.core.specs import Card
from advgen.editing.joint_maps import TextToLatent, described
from advgen.editing.joint_retrieval import retrieval
from advgen.experiments.recipes._latent_pairs import Part, joined, own_samples, portraits
from advgen.experiments.recipes._make import Training, Work, make
from advgen.experiments.recipes._phrases import Phrases, spoken
from advgen.experiments.recipes._text_vectors import encoder_of, named
from advgen.experiments.recipes._train import Plan
from advgen.experiments.trained import PREFIX, checkpoint_of
from advgen.generators.stylegan2.load import load_stylegan2, located
from advgen.zoo.load import load as zoo_load

JOINT_SHARE = 0.1  # of the joint space's loss beside the mapper's: they share no weight, only the score


@final
@dataclass(frozen=True)
class TextToLatentMap:
    vectors: str = "wikipedia_glove"  # word vectors by name or file, clip:MODEL, or random:NAME (a control)
    generator: str = "stylegan2_avatars_64"  # name of shipped weights, or a file of a StyleGAN2
    inverter: str | None = None  # encoder of portraits; None = the generator's name and _encoder
    captioner: str = "recipe:text_to_latent_captioner"  # of the generator's samples; a recipe, a name or a file
    samples: int = 20_000  # of the generator
    portraits: int = 4_096  # inverted; 0 = none
    variety: str | None = None  # of the portraits; None = the data set's own
    held_out: int = 1_024  # samples each for validation and test
    space: Literal["w", "w+"] = "w"  # that the mapper gives: w = equal rows
    shuffled: bool = False  # a control: captions of other latents
    noise: float = 0.3  # of phrase vectors in training, in their spreads
    components: int = 0  # of latents, that the mapper moves; 0 = 128, or fewer where there are fewer
    width: int = 160  # of the mapper
    blocks: int = 2
    dim: int = 64  # of the joint space
    hidden: int = 128  # of its heads
    epochs: int = 16
    batch_size: int = 256
    learning_rate: float = 2e-3  # of AdamW, at its peak
    name: str | None = None  # of the checkpoint; None = text_to_latent_VECTORS

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        if min(self.samples, self.held_out) < 1 or self.portraits < 0:
            raise BadArgument(
                "samples and held_out must be 1 or more and portraits 0 or more, got "
                f"{self.samples}, {self.held_out} and {self.portraits}."
            )
        text = encoder_of(self.vectors, seed)
        parts = self._parts()
        said = {
            split: Phrases.of_codes(text, part.codes, split, whole=split != "train") for split, part in parts.items()
        }
        parts = {split: part.take(said[split].places) for split, part in parts.items()}
        words = spoken(text, said["train"])
        for sentence in words.sentences(self.vectors):
            print(sentence, file=sys.stderr, flush=True)
        train, phrases = parts["train"], said["train"]
        sizes = self._sizes(text.dim, train)

        def create() -> nn.Module:
            network = TextToLatent(**sizes)
            vectors = phrases.vectors[phrases.of[:, 0]]
            own = train.own if self.space == "w" else slice(None)
            network.joint.fit_to(vectors, train.w)
            network.mapper.fit_to(vectors[own], train.w[own])
            return network

        plan = Plan(
            lambda network, batch: self._loss(network, batch, train, phrases),
            lambda network: _score(network, parts["validation"], said["validation"], seed),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=0.01,
            half_costs=0.01,
            after_step=lambda network: network.joint.bound_scale(),
        )
        kind, of = named(self.vectors)
        facts = {"encoder": kind, "vectors": of, "encoder.hash": text.hash, **self._files(), **described(sizes)}
        training = Training(
            self.name or _name(self.vectors, seed, shuffled=self.shuffled), "text-to-latent", "text_to_latent",
            asdict(self) | facts, None, {f"pairs.{split}": part.hash for split, part in parts.items()},
            (torch.arange(len(train.w)), phrases.of), plan,
            lambda network: _measured(network, parts["test"], said["test"]) | words.on_card(), create=create,
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _sizes(self, text_dim: int, train: Part) -> dict[str, int]:
        num_ws, w_dim = train.w.shape[1:]
        rows = 1 if self.space == "w" else num_ws
        return {
            "text_dim": text_dim, "num_ws": num_ws, "w_dim": w_dim, "rows": rows,
            "z_dim": self.components or min(128, rows * w_dim), "width": self.width, "blocks": self.blocks,
            "dim": self.dim, "hidden": self.hidden,
        }  # fmt: skip

    def _files(self) -> dict[str, str]:
        file = located(self.generator)
        return {"generator": file.stem, "generator.sha256": sha256(file)}

    def _parts(self) -> dict[str, Part]:
        """Own samples and portraits, joined, for training; validation and test are own samples alone."""
        file = located(self.generator)
        generator = load_stylegan2(file).generator.requires_grad_(False)
        captioner, read_by = captioner_of(self.captioner)
        found = {}
        for split, n in (("train", self.samples), ("validation", self.held_out), ("test", self.held_out)):
            found[split] = own_samples(generator, file, captioner, read_by, n, split)
        if self.portraits:
            inverter = located(self.inverter or f"{file.stem}_encoder")
            size, network = generator.resolution[0], zoo_load(str(inverter)).network
            found["train"] = joined(found["train"], portraits(network, inverter, self.variety, size, self.portraits))
        if self.shuffled:
            draws = torch.Generator().manual_seed(stream_seed(0, "train/shuffled captions", ""))
            one = found["train"]
            found["train"] = one._replace(codes=one.codes[torch.randperm(len(one.codes), generator=draws)])
        return found

    def _loss(self, network: Any, batch: tuple[Tensor, ...], train: Part, said: Phrases) -> Tensor:
        at, phrases = batch
        chosen = phrases[torch.arange(len(at)), torch.randint(phrases.shape[1], (len(at),))]
        text, w = said.vectors[chosen], train.w[at]
        noisy = text + self.noise * network.joint.spread_text * torch.randn_like(text)
        joint = network.joint.loss(noisy, w, *said.truths(chosen, train.codes[at]))
        own = train.own[at] if self.space == "w" else slice(None)
        return JOINT_SHARE * joint + network.mapper.loss(text[own], w[own], noise=self.noise)


def captioner_of(ref: str) -> tuple[nn.Module, str]:
    """The network that captions samples, trained where a recipe's is not there yet, and its hash."""
    loaded = zoo_load(str(checkpoint_of(ref) if ref.startswith(PREFIX) else located(ref)))
    return loaded.network, loaded.card.file_hash


def _score(network: Any, part: Part, said: Phrases, seed: int) -> float:
    """Higher is better: both losses on fixed draws."""
    chosen = said.of[:, 0]
    text = said.vectors[chosen]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "train/validation draws", ""))
        mapped = network.mapper.loss(text, part.w, untold=0.0)
    return -float(mapped + JOINT_SHARE * network.joint.loss(text, part.w, *said.truths(chosen, part.codes)))


def _measured(network: Any, part: Part, said: Phrases) -> dict[str, Any]:
    """Retrieval on test samples by phrases that say everything; a caption that says the same is a hit."""
    same = (part.codes[:, None] == part.codes[None]).all(2)
    ways = retrieval(network.joint.of_text(said.vectors[said.of[:, 0]]), network.joint.of_latents(part.w), same)
    names = ("text to latent", "latent to text")
    told: dict[str, Any] = {"test samples": len(part.w), "captions that differ": len(part.codes.unique(dim=0))}
    for name, found in zip(names, ways, strict=True):
        told |= {f"R@{k} {name}": round(v, 4) for k, v in zip((1, 5, 10), found[:3], strict=True)}
        told[f"median rank {name}"] = found.median_rank
    return told


def _name(vectors: str, seed: int, *, shuffled: bool) -> str:
    made = f"text to latent {Path(vectors).stem}{' shuffled' if shuffled else ''} seed{seed}"
    return re.sub(r"[^a-z0-9]+", "_", made.lower())
