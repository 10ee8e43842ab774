"""What faces a map from text to latents gives: whether all that was asked for is there, and how much they differ.

Each prompt gives `images` faces, judged on the saved bytes by a network that no method sees. `seen` are prompts of one
to three things in words of the training; `usual` and `synonym` say one thing in the same plain sentence, by its usual
word and by a word that no caption has; `combination` joins what training keeps apart. A prompt with a word that the
vectors lack, or know from under 20 places, is not scored; it is named and counted. Methods: `mapper`; `reranked`, the
best of `candidates` latents by the joint space for each face; `best_of`, the same choice among the generator's own
latents; `images`, the best of `candidates` generated images by the joint space of an encoder's latents of them;
`captioned`, samples on which the captioner of the training sees what is asked for: what the generator can show and the
two readers agree on, a ceiling for whatever learns from the captioner; `prior`, no choice at all; `together`, where
`map` is a StyleGAN2 conditioned on phrase vectors from the start (recipe stylegan2, condition=captions), which is asked
for mapping(z, phrase). All but `images` make one image a face.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, final

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.core.images import grid, png_bytes, to_uint8
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.rng import stream_seed
from advgen.core.specs import Card
from advgen.core.types import TextEncoder
from advgen.editing.joint_maps import RARE, best_of, latents_of, load_map
from advgen.editing.joint_retrieval import Kept, answered, kept
from advgen.experiments.edits.attributes import VALUES
from advgen.experiments.edits.reading import read
from advgen.experiments.measured import Measured, Picture, Reading
from advgen.experiments.measures import _asked
from advgen.experiments.measures._asked import Prompt
from advgen.experiments.recipes._latent_pairs import Part, own_samples
from advgen.experiments.recipes._text_vectors import encoder_of
from advgen.experiments.recipes.text_to_latent import captioner_of
from advgen.generators.stylegan2 import StyleGAN2Generator
from advgen.generators.stylegan2.load import load_stylegan2, located
from advgen.zoo.load import zoo_load

POOL = 20_000  # samples that tell priors, and are the faces that diversity is compared with
MEAN_OF = 16  # latents, for the place of a phrase among latents
BATCH = 64


class _Conditioned(NamedTuple):
    """A generator whose condition is a phrase vector, and its card, which names the vectors."""

    network: StyleGAN2Generator
    card: Card


@final
@dataclass(frozen=True)
class TextToLatent:
    """The arguments of one measurement."""

    quantities: ClassVar = {
        "seen": {"means": "all asked-for things are there", "unit": "share", "better": "higher"},
        "usual": {"means": "the thing is there, by its usual word", "unit": "share", "better": "higher"},
        "synonym": {"means": "the thing is there, by a word of no caption", "unit": "share", "better": "higher"},
        "combination": {"means": "both of a kept-back combination", "unit": "share", "better": "higher"},
        "covered": {"means": "prompts all of whose words are known from 20 places", "unit": "share"},
        "diversity": {
            "means": "LPIPS between faces, over that of samples with the same",
            "better": "higher",
        },
        "r1_text": {"means": "R@1 text to latent", "unit": "share", "better": "higher"},
        "r1_latent": {"means": "R@1 latent to text", "unit": "share", "better": "higher"},
        "rank_text": {"means": "median rank, text to latent", "better": "lower"},
        "distances": {"means": "Spearman of phrase distances, vectors to latents", "better": "higher"},
        "neighbours": {"means": "phrases' 5 nearest kept, vectors to latents", "unit": "share", "better": "higher"},
        "joint_distances": {"means": "Spearman of phrase distances, vectors to joint space", "better": "higher"},
        "analogies": {"means": "analogies answered among latents", "unit": "share", "better": "higher"},
        "text_analogies": {"means": "analogies answered among phrase vectors", "unit": "share", "better": "higher"},
        "stable_distances": {"means": "Spearman of phrase distances between two seeds' latents", "better": "higher"},
        "stable_neighbours": {"means": "phrases' 5 nearest shared by two seeds", "unit": "share", "better": "higher"},
        "seconds": {"means": "CPU time of one latent", "unit": "s", "better": "lower", "timing": True, "log": True},
    }

    map: str  # name of shipped weights, a path, or recipe:text_to_latent:vectors=...,seed={seed}
    again: str | None = None  # the same map of another seed, for stability
    method: Literal["mapper", "reranked", "best_of", "images", "captioned", "prior", "together"] = "mapper"
    guidance: float = 2.0
    candidates: int = 16  # of reranked, best_of and images
    generator: str = "stylegan2_avatars_64"  # shipped name or path
    encoder: str | None = None  # that `images` sees them by; None = the generator's name and _encoder
    judge: str = "judge_attributes_64"  # shipped name or path
    captioner: str = "recipe:text_to_latent_captioner"  # that tells priors
    prompts: int = 50
    combinations: int = 20
    images: int = 16  # of each seen prompt
    fewer: int = 8  # of each other one
    diverse: int = 20  # of the prompts, whose faces are compared with each other

    def inputs(self) -> Mapping[str, str]:
        return {name: sha256(located(ref)) for name, ref in (("generator", self.generator), ("judge", self.judge))}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        if min(self.images, self.fewer) < 2 or self.candidates < 1:
            raise BadArgument(
                "images and fewer must be 2 or more and candidates 1 or more, got "
                f"{self.images}, {self.fewer} and {self.candidates}."
            )
        file = located(self.generator)
        generator = load_stylegan2(file).generator.requires_grad_(False)
        captioner, read_by = captioner_of(self.captioner)
        pool = own_samples(generator, file, captioner, read_by, POOL, "train")
        loaded = _conditioned(self.map) if self.method == "together" else load_map(self.map)
        kind, of = str(loaded.card.args.get("encoder", "phrase")), str(loaded.card.args["vectors"])
        text = encoder_of(of if kind == "phrase" else f"{kind}:{of}", loaded.card.seed)
        judge = zoo_load(self.judge)[0]
        faces = _Faces(self, generator, loaded.network, text, judge, pool, meter, seed)
        asked = {
            "seen": _asked.drawn(pool.codes, self.prompts),
            "usual": _asked.usual(pool.codes),
            "synonym": _asked.synonyms(pool.codes),
            "combination": _asked.combined(pool.codes, self.combinations),
        }
        readings, notes, shown = [], [], []
        for quantity, prompts in asked.items():
            unscored = []
            for prompt in prompts:
                lacks = _lacks(text, prompt.text)
                readings.append(Reading(prompt.name, "covered", float(not lacks)))
                if lacks:
                    unscored += [word for word in lacks if word not in unscored]
                    continue
                images = faces.of(prompt, self.images if quantity == "seen" else self.fewer)
                if not len(images):
                    continue
                right = faces.right(images, prompt)
                readings += [
                    Reading(f"{prompt.name}/{k}", quantity, float(ok), prompt.name) for k, ok in enumerate(right)
                ]
                if quantity == "seen" and len(shown) < 6:
                    shown.append(Picture(png_bytes(grid(list(images[:8]), columns=8)), prompt.text))
                if (
                    quantity == "seen"
                    and len(images) == self.images
                    and int(prompt.name.rpartition("/")[2]) < self.diverse
                ):
                    readings.append(Reading(prompt.name, "diversity", faces.diversity(images, prompt)))
            if unscored:
                notes.append(f"{quantity}: not scored for words unknown or under {RARE} places: {', '.join(unscored)}")
        readings += [Reading.of_arm(seed, name, v) for name, v in self._map(loaded, text, pool, faces).items()]
        return Measured(readings, (), shown, notes, faces.stand_ins)

    def _map(self, loaded: Any, text: TextEncoder, pool: Part, faces: "_Faces") -> dict[str, float | None]:
        """What the map keeps, from its card and from phrases."""
        metrics = loaded.card.metrics
        found: dict[str, float | None] = {"seconds": faces.seconds()}
        phrases, quads = _asked.grid_of_phrases(pool.codes)
        known = [not _lacks(text, phrase, rare=False) for phrase in phrases]
        if not all(known):
            phrases, quads = _asked.only_known(phrases, quads, known)
        vectors = text.encode(phrases)
        places = _places(loaded.network, vectors)
        order = kept(vectors, places, analogies=quads)
        found |= {
            "distances": order.distances, "neighbours": order.neighbours,
            "analogies": order.analogies, "text_analogies": answered(vectors, quads) if quads else None,
        }  # fmt: skip
        if self.method != "together":
            joint: Kept = kept(vectors, loaded.network.joint.of_text(vectors))
            found |= {
                "r1_text": metrics["R@1 text to latent"], "r1_latent": metrics["R@1 latent to text"],
                "rank_text": metrics["median rank text to latent"], "joint_distances": joint.distances,
            }  # fmt: skip
        if self.again is not None:
            other = load_map(self.again)
            kind, of = str(other.card.args["encoder"]), str(other.card.args["vectors"])
            again = encoder_of(of if kind == "phrase" else f"{kind}:{of}", other.card.seed)
            two = kept(places, _places(other.network, again.encode(phrases)))
            found |= {"stable_distances": two.distances, "stable_neighbours": two.neighbours}
        return found


class _Faces:
    """Faces of prompts by one method, and their judge."""

    def __init__(
        self, asked: TextToLatent, generator: StyleGAN2Generator, network: Any, text: TextEncoder, judge: Any,
        pool: Part, meter: Meter, seed: int,
    ) -> None:  # fmt: skip
        self.asked, self.generator, self.network, self.text, self.judge = asked, generator, network, text, judge
        self.pool, self.meter, self.seed = pool, meter, seed
        self.net = default_net(generator.resolution[0])
        self.lpips = LPIPS(self.net.net)
        self.stand_ins = {"LPIPS": "our embedded net"} if self.net.net == "embedded" else {}
        self.encoder = None
        if asked.method == "images":
            self.encoder = zoo_load(asked.encoder or f"{located(asked.generator).stem}_encoder")[0]

    @torch.no_grad()
    def of(self, prompt: Prompt, n: int) -> Tensor:
        """uint8 (n, C, H, W)."""
        asked = self.asked
        if asked.method == "captioned":
            return self.made(self.pool.w[_asked.satisfied(self.pool.codes, prompt.mask).nonzero()[:n, 0]])
        # The name alone: arms and seeds of a study are asked for the same faces.
        draws = torch.Generator().manual_seed(stream_seed(self.seed, f"faces/{prompt.name}", ""))
        many = 1 if asked.method in ("mapper", "prior", "together") else asked.candidates
        size = _z_dim(self.network) if asked.method in ("mapper", "reranked", "together") else self.generator.z_dim
        z = torch.randn(n * many, size, generator=draws)
        vectors = self.text.encode([prompt.text]).expand(n, -1)
        if asked.method == "together":
            return self.made(_latents(self.network, vectors, z), self.network)
        if asked.method in ("mapper", "reranked"):
            return self.made(latents_of(self.network, vectors, z, guidance=asked.guidance, candidates=many))
        w = self.generator.mapping(z)
        if asked.method == "prior":
            return self.made(w)
        if asked.method == "best_of":
            return self.made(best_of(self.network, vectors, w.unflatten(0, (n, many))))
        images = self.made(w)
        assert self.encoder is not None
        seen = torch.cat([self.encoder(some.float() / 255) for some in images.split(BATCH)])
        near = self.network.joint.of_latents(seen).unflatten(0, (n, many)) @ self.network.joint.of_text(vectors[:1])[0]
        return images.unflatten(0, (n, many))[torch.arange(n), near.argmax(1)]

    def made(self, w: Tensor, by: StyleGAN2Generator | None = None) -> Tensor:
        synthesis = (by or self.generator).synthesis
        self.meter.generator_calls += len(w)
        with torch.no_grad():
            return torch.cat([to_uint8(synthesis(some).clamp(0, 1)) for some in w.split(BATCH)])

    def right(self, images: Tensor, prompt: Prompt) -> list[bool]:
        """Whether all that was asked for is there, of each image."""
        probabilities = read(self.judge, images).probabilities
        right = torch.ones(len(images), dtype=torch.bool)
        for change in prompt.changes:
            accepted = torch.tensor([VALUES[change.attribute].index(v) for v in change.accepted()])
            right &= (probabilities[change.attribute].argmax(1)[:, None] == accepted).any(1)
        return right.tolist()

    def diversity(self, images: Tensor, prompt: Prompt) -> float | None:
        """Mean LPIPS between faces over that between samples that show the same things; None where too few do."""
        same = _asked.satisfied(self.pool.codes, prompt.mask).nonzero()[:, 0][: self.asked.images]
        if len(same) < self.asked.images:
            return None
        return self.apart(images) / self.apart(self.made(self.pool.w[same]))

    @torch.no_grad()
    def apart(self, images: Tensor) -> float:
        """Mean LPIPS of each image to three others."""
        pixels = images.float() / 255
        reference = self.lpips.reference(pixels)
        turns = [torch.arange(len(images)).roll(k) for k in (1, 3, 7) if k < len(images)]
        return float(torch.stack([self.lpips.distance_to(pixels, reference.take(t)) for t in turns]).mean())

    def seconds(self) -> float:
        """CPU time of one latent among 64."""
        import time

        z = torch.randn(64, _z_dim(self.network), generator=torch.Generator().manual_seed(0))
        vectors = self.text.encode(["a person with red hair"]).expand(64, -1)
        begun = time.process_time()
        _latents(self.network, vectors, z, guidance=self.asked.guidance)
        return (time.process_time() - begun) / 64


def _lacks(text: TextEncoder, phrase: str, *, rare: bool = True) -> Sequence[str]:
    """The words of a phrase that no number should rest on."""
    asks = getattr(text, "rare", None)
    return (*text.unknown(phrase), *(asks(phrase, under=RARE) if asks and rare else ()))


@torch.no_grad()
def _places(network: Any, vectors: Tensor) -> Tensor:
    """(N, D) the mean latent of each phrase, over the same z for all."""
    z = torch.randn(MEAN_OF, _z_dim(network), generator=torch.Generator().manual_seed(0))
    return torch.stack([
        _latents(network, vector.expand(MEAN_OF, -1), z, guidance=1.0, steps=8).mean((0, 1)) for vector in vectors
    ])  # fmt: skip


def _z_dim(network: Any) -> int:
    size: int = network.z_dim if isinstance(network, StyleGAN2Generator) else network.mapper.z_dim
    return size


@torch.no_grad()
def _latents(network: Any, vectors: Tensor, z: Tensor, **guided: Any) -> Tensor:
    """w of phrases, by a map or by the mapping network of a conditioned generator."""
    if isinstance(network, StyleGAN2Generator):
        return network.mapping(z, vectors)
    return latents_of(network, vectors, z, **guided)


def _conditioned(ref: str) -> _Conditioned:
    """The StyleGAN2 of a reference that was conditioned on phrase vectors, which its card names.

    Raises:
        BadArgument: it was conditioned on nothing, or on anything else.
    """
    path = located(ref)
    network, card = load_stylegan2(path).generator.requires_grad_(False), checkpoints.read_card(path)
    if card.args.get("condition") != "captions":
        raise BadArgument(
            f"{ref} was not conditioned on captions: method=together needs a StyleGAN2 of the recipe stylegan2 with "
            "condition=captions."
        )
    return _Conditioned(network, card)
