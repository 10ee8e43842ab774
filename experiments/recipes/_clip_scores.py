"""How well images and captions find each other, and what a CLIP tells of attributes without being taught them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.types import Slice
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.experiments.avatars import held_out
from advgen.experiments.avatars.avatar import Attributes
from advgen.experiments.recipes import _captions as captions
from advgen.experiments.recipes import _prompts as prompts
from advgen.experiments.recipes._classify import as_metric

BATCH = 256
ASKED = 384  # portraits of a set that are asked for their caption among nearly right ones, and all unseen combinations
HARD = 99  # captions that are nearly right beside the right one
FEWEST = 8  # portraits that must have a value for it to be asked about
PROBED = 4096  # training portraits that a linear probe learns from

Texts = Callable[[Sequence[str]], Tensor]  # texts to features (N, D) of length one
Seen = Mapping[str, str | None]  # of a picture: the value of each aspect of `_prompts`, None where it is not known


class Answer(NamedTuple):
    """What is asked of an aspect: how many answers there are, and the mean over them of the share of right ones."""

    answers: int
    balanced: float
    n: int


@torch.no_grad()
def image_features(network: Any, pixels: Pixels, images_u8: Tensor) -> Tensor:
    """(N, D) of length one, on the CPU."""
    device = network.logit_scale.device
    found = [network.encode_image(pixels(b.to(device).float() / 255), normalize=True) for b in images_u8.split(BATCH)]
    return torch.cat(found).cpu()


@torch.no_grad()
def text_features(network: Any, numbers: Tensor) -> Tensor:
    """(N, D) of length one, on the CPU."""
    device = network.logit_scale.device
    return torch.cat([network.encode_text(b.to(device).long(), normalize=True) for b in numbers.split(BATCH)]).cpu()


def found_within(cosines: Tensor, same: Tensor, k: int) -> Tensor:
    """(N,) whether one of the `k` best columns of a row is right; `same` (N, M) says which are."""
    return same.gather(1, cosines.topk(min(k, cosines.shape[1]), dim=1).indices).any(1)


def retrieval(images: Tensor, texts: Tensor, content: Sequence[int]) -> dict[str, Any]:
    """R@1 and R@5 both ways; a caption that says the same is a hit."""
    same, cosines = _same(content), images @ texts.T
    n = len(content)
    ways = (("image to text", cosines), ("text to image", cosines.T))
    return {f"R@{k} {way}": as_metric(int(found_within(c, same, k).sum()), n) for way, c in ways for k in (1, 5)}


def hard(images: Tensor, shown: Sequence[Attributes], texts: Texts, phrasings: Sequence[int], variety: str) -> Tensor:
    """(N,) whether the right caption is the nearest among those that differ from it in one attribute or swap two."""
    found = []
    for place, attributes in enumerate(shown):
        phrasing = phrasings[place % len(phrasings)]
        key = f"test {place}"
        others = captions.nearly_right(attributes, HARD, seed=0, key=key, variety=variety, unseen=True)
        told = texts([captions.said(a, phrasing) for a in (attributes, *others)])
        found.append(bool((told @ images[place]).argmax() == 0))
    return torch.tensor(found)


def zero_shot(images: Tensor, shown: Sequence[Seen], texts: Texts) -> dict[str, Answer]:
    """By aspect: which of its values a portrait has, by the nearest of the values' texts (each a mean of several)."""
    found = {}
    for aspect, asked in occurring(shown).items():
        means = torch.stack([F.normalize(texts(prompts.phrased(said)).mean(0), dim=0) for said in asked])
        wanted = _wanted(shown, asked)
        found[aspect] = _answer((images @ means.T).argmax(1), wanted, len(asked))
    return found


def probe(images: Tensor, shown: Sequence[Seen], known: Tensor, known_shown: Sequence[Seen]) -> dict[str, Answer]:
    """The same questions answered by a logistic regression on features `known`, every value with equal weight."""
    found = {}
    mean, std = known.mean(0), known.std(0).clamp(min=1e-4)
    for aspect, asked in occurring(shown).items():
        wanted = _wanted(known_shown, asked)
        told = wanted >= 0
        layer = _fitted((known[told] - mean) / std, wanted[told], len(asked))
        found[aspect] = _answer(layer((images - mean) / std).argmax(1), _wanted(shown, asked), len(asked))
    return found


def occurring(shown: Sequence[Seen]) -> dict[str, list[prompts.Said]]:
    """The questions of which at least two answers are true of enough of these portraits."""
    found = {}
    for aspect, asked in prompts.questions().items():
        values = [row[aspect] for row in shown]
        there = [said for said in asked if sum(v in said.values for v in values) >= FEWEST]
        if len(there) > 1:
            found[aspect] = there
    return found


def attribute_table(answered: Mapping[str, Mapping[str, Answer]]) -> dict[str, Any]:
    """Zero-shot and probe side by side, as they stand on a card."""
    zero, linear = answered["zero-shot"], answered["linear probe"]
    each = {
        f"{name} of {zero[name].answers}": {
            "zero-shot": round(zero[name].balanced, 4),
            "linear probe": round(linear[name].balanced, 4),
            "n": zero[name].n,
        }
        for name in zero
    }
    values = [a.balanced for a in zero.values()]
    probed = [linear[name].balanced for name in zero]
    if not values:
        return {}
    mean = sum(values) / len(values)
    return {
        "mean": round(mean, 4),
        "worst": round(min(values), 4),
        "linear probe mean": round(sum(probed) / len(probed), 4),
        **each,
    }


def _wanted(shown: Sequence[Seen], asked: Sequence[prompts.Said]) -> Tensor:
    """(N,) which of the answers is true; -1 where none is."""
    values = [row[asked[0].aspect] for row in shown]
    return torch.tensor([next((k for k, said in enumerate(asked) if v in said.values), -1) for v in values])


def told_apart(images: Tensor, shown: Sequence[Seen], said: prompts.Said, text: Tensor) -> float:
    """Area under the ROC curve of the cosines with one text (D,), between pictures of which it is true and others."""
    wanted = _wanted(shown, [said])
    known = torch.tensor([row[said.aspect] is not None for row in shown])
    cosines = images @ text
    true, other = cosines[wanted == 0, None], cosines[(wanted < 0) & known][None]
    return float(((true > other).double() + 0.5 * (true == other)).mean())


def _answer(told: Tensor, wanted: Tensor, answers: int) -> Answer:
    shares = [(told[wanted == k] == k).double().mean() for k in range(answers) if bool((wanted == k).any())]
    return Answer(answers, float(sum(shares)) / len(shares), int((wanted >= 0).sum()))


def _fitted(features: Tensor, wanted: Tensor, answers: int) -> nn.Linear:
    counts = torch.bincount(wanted, minlength=answers).clamp(min=1)
    weight = len(wanted) / (answers * counts.float())
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(features.shape[1], answers)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(features), wanted, weight=weight) + 1e-3 * layer.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return layer.requires_grad_(False)


def _same(content: Sequence[int]) -> Tensor:
    numbers = torch.tensor(content)
    return numbers[:, None] == numbers[None]


def measured(
    images: Tensor, known: Tensor, test: Slice, train: Slice, texts: Texts, variety: str, which: str = ""
) -> dict[str, Any]:
    """A card's numbers of one test set: features `images` of it, `known` of training portraits."""
    shown = captions.attributes_of(test)
    content = captions.contents(shown)
    seen = texts([captions.said(a, captions.SEEN[i % len(captions.SEEN)]) for i, a in enumerate(shown)])
    apart = torch.tensor([held_out(a) for a in shown])
    found: dict[str, Any] = {"captions that differ": len(set(content)), **retrieval(images, seen, content)}
    first = torch.arange(len(shown)) < ASKED
    some = (first | apart).nonzero().flatten()
    for what, phrasings, rows in (("", captions.SEEN, some), (", unseen phrasings", captions.UNSEEN, some[:ASKED])):
        right = hard(images[rows], [shown[int(i)] for i in rows], texts, phrasings, variety)
        groups = {"": first[rows], ", seen combinations": ~apart[rows], ", unseen combinations": apart[rows]}
        for also, which_rows in groups.items() if not what else [("", first[rows])]:
            hits = int(right[which_rows].sum())
            found[f"R@1 of {HARD + 1}{what}{also}"] = as_metric(hits, int(which_rows.sum()))
    rows_seen = [prompts.seen(a) for a in shown]
    known_rows = [prompts.seen(a) for a in captions.attributes_of(train)[: len(known)]]
    answered = {
        "zero-shot": zero_shot(images, rows_seen, texts),
        "linear probe": probe(images, rows_seen, known, known_rows),
    }
    found |= {f"attributes, {name}" if name else "": value for name, value in attribute_table(answered).items()}
    return {f"{which}{name}": value for name, value in found.items()}
