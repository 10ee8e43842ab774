"""How well images and captions find each other, and what a CLIP tells of attributes without being taught them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advgen.core.types import Slice
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.experiments.avatars import held_out
from advgen.experiments.avatars.avatar import Attributes
from advgen.experiments.recipes import _captions as captions
from advgen.experiments.recipes._classify import as_metric

BATCH = 256
HARD = 99  # captions that are nearly right beside the right one
PROMPTS = {  # the first is what a caption says of a picture without the attribute
    "glasses": ("a person with hair", "a person with hair and round glasses", "a person with hair and square glasses"),
    "sunglasses": ("a person with hair", "a person with hair and sunglasses", "a person with hair and dark glasses"),
    "hat": ("a person with brown hair", "a person with brown hair and a red cap", "a person with a blue beanie"),
    "beard": ("a person with hair", "a person with hair and a full beard", "a person with hair and a goatee"),
    "moustache": ("a person with hair", "a person with hair and a moustache"),
    "earrings": ("a person with hair", "a person with hair and hoop earrings", "a person with hair and stud earrings"),
    "smiling": ("a person with hair", "a smiling person with hair", "a cheerful person with hair"),
    "elderly": ("a person with hair", "an elderly person with hair", "an old person with hair"),
    "long_hair": ("a person with short brown hair", "a person with long straight brown hair"),
    "curly_hair": ("a person with short brown hair", "a person with short curly brown hair"),
    "bald": ("a person with short brown hair", "a person with a bald head"),
    "dyed_hair": ("a person with brown hair", "a person with purple hair", "a person with green hair"),
}

Numbers = Callable[[Sequence[str]], Tensor]  # texts to the rows of the token embedding


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
    numbers = torch.tensor(content)
    same, cosines = numbers[:, None] == numbers[None], images @ texts.T
    n = len(content)
    ways = (("image to text", cosines), ("text to image", cosines.T))
    return {f"R@{k} {way}": as_metric(int(found_within(c, same, k).sum()), n) for way, c in ways for k in (1, 5)}


def measured(network: nn.Module, pixels: Pixels, numbers: Numbers, test: Slice, validation: Slice) -> dict[str, Any]:
    """Everything that stands on the card, on the test split; `validation` sets the thresholds of yes or no."""
    shown = captions.attributes_of(test)
    images = image_features(network, pixels, test.images_u8)
    content = captions.contents(shown)

    def features(texts: Sequence[str]) -> Tensor:
        return text_features(network, numbers(texts))

    seen = features([captions.said(a, captions.SEEN[i % len(captions.SEEN)]) for i, a in enumerate(shown)])
    found: dict[str, Any] = {"captions that differ": len(set(content)), **retrieval(images, seen, content)}
    others = {
        "unseen phrasings": [captions.said(a, captions.UNSEEN[i % 2]) for i, a in enumerate(shown)],
        "unseen synonyms": [captions.said(a, i % 3, held_out_words=True) for i, a in enumerate(shown)],
    }
    for what, texts in others.items():
        found |= {f"{name}, {what}": v for name, v in retrieval(images, features(texts), content).items()}
    apart = torch.tensor([held_out(a) for a in shown])
    right = found_within(images @ seen.T, _same(content), 1)
    for what, which in (("unseen combinations", apart), ("seen combinations", ~apart)):
        found[f"R@1 image to text, {what}"] = as_metric(int(right[which].sum()), int(which.sum()))
    found |= _hard(images, shown, features)
    return found | _zero_shot(network, pixels, features, test, validation)


def _same(content: Sequence[int]) -> Tensor:
    numbers = torch.tensor(content)
    return numbers[:, None] == numbers[None]


def _hard(images: Tensor, shown: Sequence[Attributes], features: Callable[[Sequence[str]], Tensor]) -> dict[str, Any]:
    """R@1 among the right caption and those that differ from it in one attribute or swap two."""
    right, fewest = 0, HARD
    for place, attributes in enumerate(shown):
        others = captions.nearly_right(attributes, HARD, seed=0, key=f"test {place}", unseen=True)
        texts = features([captions.said(a) for a in (attributes, *others)])
        right += int((texts @ images[place]).argmax() == 0)
        fewest = min(fewest, len(others))
    return {"R@1 among captions nearly right": {**as_metric(right, len(shown)), "others": fewest}}


def _zero_shot(
    network: nn.Module, pixels: Pixels, features: Callable[[Sequence[str]], Tensor], test: Slice, validation: Slice
) -> dict[str, Any]:
    """Balanced accuracy of each attribute by its prompts, the threshold set where validation is best."""
    from advgen.experiments.recipes.avatars_attributes import presence

    names = tuple(PROMPTS)
    directions = []
    for name in names:
        without, *present = features(PROMPTS[name])
        directions.append(torch.stack(present).mean(0) - without)
    known = image_features(network, pixels, validation.images_u8) @ torch.stack(directions).T
    asked = image_features(network, pixels, test.images_u8) @ torch.stack(directions).T
    there, wanted = presence(validation, names) > 0, presence(test, names) > 0
    found: dict[str, Any] = {}
    for k, name in enumerate(names):
        balanced = _balanced(asked[:, k] > _best_threshold(known[:, k], there[:, k]), wanted[:, k])
        found[f"zero-shot {name}"] = {"balanced accuracy": balanced, "present": int(wanted[:, k].sum())}
    each = [row["balanced accuracy"] for row in found.values() if row["balanced accuracy"] is not None]
    mean, worst = (round(sum(each) / len(each), 4), min(each)) if each else (None, None)
    return {"zero-shot mean": mean, "zero-shot worst": worst, **found}


def _balanced(said_yes: Tensor, yes: Tensor) -> float | None:
    """The mean of the rates of right answers among yes and among no; None where one of the two is not there."""
    if not (0 < int(yes.sum()) < len(yes)):
        return None
    return round(float((said_yes[yes].float().mean() + (~said_yes[~yes]).float().mean()) / 2), 4)


def _best_threshold(scores: Tensor, yes: Tensor) -> float:
    ordered, places = scores.sort()
    # Above threshold k: everything after place k in the order.
    hits = yes[places].flip(0).cumsum(0).flip(0) / yes.sum().clamp(min=1)
    misses = (~yes[places]).flip(0).cumsum(0).flip(0) / (~yes).sum().clamp(min=1)
    best = int((hits - misses).argmax())
    return float(ordered[best - 1] + ordered[best]) / 2 if best else float(ordered[0]) - 1
