"""Text-guided fakes against a face matcher, CLIP, detectors and purifiers, beside their ablations and pixel PGD."""

import json
from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = (
    "Does a change of a face that a sentence asks for fool a face matcher, survive defenses, escape detectors and "
    "transfer, and how much of that is the sentence's doing, the search's, or the inversion's?"
)
DESCRIPTION = (
    "Held-out avatars are to be taken for another person, drawn by the seed, by a matcher that compares them with a "
    "picture of everybody; its threshold allows one false acceptance in a hundred on other persons. Every attack has "
    "the same LPIPS bound to the original image (through the network that judges: the report warns), and the same "
    "number of queries or gradient steps; latent/matched is pixel PGD with the distance that latent PGD used, image "
    "by image. Ablations: the inversion alone, the edit without the attack, the attack without the edit, the way to "
    "the other face, the best of as many draws. No image stopped at its first success. Rows of clean images are base "
    "rates. Photographs have no generator here, so they are attacked in pixels alone."
)
COUNT = 32  # avatars; photographs are those of the test persons
STEPS = 40  # gradient steps, parts of a way, draws
BOUND = "0.1"  # LPIPS to the original
NEARER = "0.05"  # chosen on validation avatars, as the space below: who is fooled is still the source to the oracle
NET = "squeeze"  # of the bound, in the search and for the judge: a bound in one network is none in another
INVERSION: dict[str, Any] = {"inversion_steps": 150, "net": NET}
REACH = {"reach": 1.0, **INVERSION}  # w stays as near its mean as samples are, or as the inversion is
PROMPT = "a person with glasses"
MATCHER = "matcher:avatars_matcher_64"
OTHER = "matcher:avatars_matcher_64_b"  # of another architecture, for transfer
# The first once more, with other seeds.
AGAIN = tuple({"name": f"matcher:recipe:matcher:seed={seed}", "label": f"{MATCHER}, seed {seed}"} for seed in (1, 2))
PHOTOGRAPHS = {
    "name": "matcher:recipe:matcher:data=faces,border=0,augment=flip,epochs=60,width=12,dimensions=48",
    "label": "matcher of photographs",
}
CLIP = "clip:a person without glasses|a person with glasses"
AUTOENCODER = "recipe:dae:data=avatars,size=64,sigma=0.1,images=4000,epochs=4,seed=0"
TAKEN_FOR = "impersonate"  # of another person drawn by the seed: of 127 the nearest is often accepted as he is

PGD = {"name": "latent/pgd", "args": {"steps": STEPS, **REACH}}
TEXT = {"name": "latent/text", "args": {"prompt": PROMPT, "steps": STEPS, **REACH}}
SEMANTIC = {"name": "latent/semantic", "args": {"steps": STEPS, **INVERSION}}
PIXELS = {"name": "latent/matched", "args": {"steps": STEPS, **REACH}}
STYLES = {"name": "latent/pgd", "args": {"steps": STEPS, "space": "s", **INVERSION}}
# Smaller steps, and more of them, chosen on validation avatars too.
SLOWLY = {"name": "latent/pgd", "args": {"steps": 100, "step_size": 0.01, "space": "s", **INVERSION}}
TEXT_IN_STYLES = {"name": "latent/text", "args": {"prompt": PROMPT, "steps": STEPS, "space": "s", **INVERSION}}
ATTACKS = (PGD, TEXT, SEMANTIC, PIXELS)
EDIT = {"name": "latent/text", "args": {**TEXT["args"], "only": "edit"}}
SEARCH = {"name": "latent/text", "args": {**TEXT["args"], "only": "attack"}}
INVERTED = {"name": "latent/inversion", "args": INVERSION}
WAY = {"name": "latent/interpolate", "args": {"steps": STEPS, **INVERSION}}
DRAWS = {"name": "latent/best_of", "args": {"draws": STEPS, **REACH}}
ABLATIONS = (INVERTED, EDIT, SEARCH, WAY, DRAWS)

PURIFIERS: tuple[Any, ...] = (
    "purify/jpeg",
    {"label": "purify/dae", "parts": [{"name": "purify/dae", "args": {"weights": AUTOENCODER}}]},
)
DETECTORS: tuple[Any, ...] = (
    {"label": "detect/lpips", "parts": [{"name": "detect/lpips", "args": {"weights": AUTOENCODER}}]},
    "detect/spectrum",
    "detect/clip_linear",
    "detect/inversion",
)


def study() -> Study:
    return parse(
        {
            "name": "text_guided_adversarial",
            "question": QUESTION,
            "description": DESCRIPTION,
            "grids": _grids(),
            "claims": _claims(),
        },
        "text_guided_adversarial",
    )


def _grids() -> list[dict[str, Any]]:
    def grid(targets: list[Any], attacks: tuple[Any, ...], goals: list[Any], **more: Any) -> dict[str, Any]:
        return {
            "data": [{"name": "avatars", "split": "test", "count": COUNT, "size": 64}],
            "targets": targets,
            "goals": goals,
            "attacks": list(attacks),
            "budgets": [{"name": "Lpips", "radius": BOUND}],
            "controls": False,
            **more,
        }

    knows = {"knowledge": ["oblivious", "transfer"], "surrogate": OTHER}
    photographs = {"name": "faces", "split": "test", "size": 64, "args": {"pictures": "probes"}}
    return [
        grid([MATCHER], (*ATTACKS, *ABLATIONS), [TAKEN_FOR], **knows),
        grid(
            [MATCHER], ATTACKS, [TAKEN_FOR], defenses=[*PURIFIERS, *DETECTORS],
            knowledge=["oblivious", "transfer", "adaptive"], surrogate=OTHER,
        ),
        grid([MATCHER], (*ATTACKS, INVERTED, EDIT), ["evade-identity"]),
        grid(
            [CLIP], (PGD, SEMANTIC, PIXELS, INVERTED, DRAWS), ["untargeted"],
            data=[{"name": "avatars", "split": "test", "count": COUNT, "size": 64, "args": {"label": "glasses"}}],
        ),
        {
            "data": [photographs],
            "targets": [PHOTOGRAPHS],
            "goals": [TAKEN_FOR, "evade-identity"],
            "attacks": [{"name": "image/pgd", "args": {"steps": STEPS, "net": NET}}],
            "budgets": [{"name": "Lpips", "radius": BOUND}, {"name": "Linf", "radius": "4/255"}],
            "defenses": ["none", "purify/jpeg"],
            "knowledge": ["oblivious", "adaptive"],
        },
        grid(list(AGAIN), (PGD, TEXT, PIXELS, INVERTED), [TAKEN_FOR]),
        grid(
            [MATCHER, *AGAIN], (STYLES, SLOWLY, TEXT_IN_STYLES), [TAKEN_FOR],
            budgets=[{"name": "Lpips", "radius": NEARER}, {"name": "Lpips", "radius": BOUND}],
        ),
    ]  # fmt: skip


def _claims() -> list[dict[str, Any]]:
    def at(attack: dict[str, Any], **more: Any) -> dict[str, Any]:
        known = {"data": "avatars", "target": MATCHER, "goal": "impersonate", "defense": ""}
        args = {"attack": attack["name"], "attack_args": json.dumps(attack["args"], sort_keys=True)}
        return {**known, "knowledge": "oblivious", **args, **more}

    def claim(statement: str, of: dict[str, Any], versus: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        both = {"of": of} | ({} if versus is None else {"versus": versus})
        return {"statement": statement, "metric": "success", "relation": ">", **both, **more}

    text, pgd, pixels = at(TEXT), at(PGD), at(PIXELS)
    elsewhere = {"knowledge": "transfer"}
    jpeg = {"defense": "purify/jpeg"}
    return [
        claim("Latent PGD is taken for the other person in at least 60% of the images", pgd, None, margin=0.6),
        claim(
            "In style channels, by small steps, it is so in at least 60%", at(SLOWLY, radius=BOUND),
            None, margin=0.6,
        ),
        claim("The search does what the sentence alone does not", text, at(EDIT)),
        claim("The search does what the inversion alone does not", text, at(INVERTED)),
        claim("The search does what as many draws do not", text, at(DRAWS)),
        claim("The search does what the straight way to the other face does not", text, at(WAY)),
        claim(
            "The sentence costs at most 10 points of success", text, at(SEARCH), relation=">=", margin=-0.1,
        ),
        claim(
            "Text-guided images fool another architecture more often than pixels moved as far",
            {**text, **elsewhere}, {**pixels, **elsewhere},
        ),
        claim(
            "Text-guided images survive JPEG more often than pixels moved as far", {**text, **jpeg},
            {**pixels, **jpeg},
        ),
        claim(
            "A detector of spectra finds text-guided images more often than pixels moved as far",
            {**text, "defense": "detect/spectrum"}, {**pixels, "defense": "detect/spectrum"}, metric="rejected",
        ),
    ]  # fmt: skip
