"""Captions in several phrasings, from what can be seen, with words and phrasings kept back for tests."""

from .avatar import Attributes, Avatar
from .vocabulary import DYED, HIDDEN_BY_HAT, LONG_STYLES

# {person}: noun with its adjectives; {traits}: what hangs on "with"; {has} and {wears}: the same, parted.
PHRASINGS = (
    "{a_person} with {traits}",
    "a portrait of {a_person} with {traits}",
    "{a_person}, {traits}",
    "a picture of {a_person} who has {traits}",
    "a face: {adjectives}{traits}",
    "this is {a_person}; note the {traits_bare}",
    "we see {traits} on {a_person}",
    "{traits}, that is how {a_person} looks here",
)
HELD_OUT_PHRASINGS = frozenset({6, 7})

# The first word is the usual one; those of HELD_OUT_SYNONYMS appear only when asked for.
SYNONYMS = {
    "person": ("person", "human", "individual"),
    "smiling": ("smiling", "cheerful", "beaming"),
    "laughing": ("laughing", "roaring with laughter", "chuckling"),
    "sad": ("sad", "unhappy", "gloomy"),
    "angry": ("angry", "cross", "furious"),
    "surprised": ("surprised", "astonished", "startled"),
    "winking": ("winking",),
    "smirking": ("smirking", "slyly smiling"),
    "elderly": ("elderly", "old", "aged"),
    "middle-aged": ("middle-aged",),
    "glasses": ("glasses", "eyeglasses", "spectacles"),
    "sunglasses": ("sunglasses", "dark glasses", "shades"),
    "beanie": ("beanie", "knit cap", "woollen cap"),
    "bobble hat": ("bobble hat", "pompom hat"),
    "brimmed hat": ("brimmed hat", "wide hat", "sun hat"),
    "cap": ("cap", "baseball cap"),
    "beret": ("beret",),
    "bucket hat": ("bucket hat",),
    "hoop earrings": ("hoop earrings", "hoops"),
    "stud earrings": ("stud earrings", "ear studs"),
    "drop earrings": ("drop earrings", "dangling earrings"),
    "red": ("red", "ginger"),
    "grey": ("grey", "gray", "silver"),
    "blonde": ("blonde", "blond", "golden"),
    "full beard": ("full beard", "thick beard", "bushy beard"),
    "long beard": ("long beard", "flowing beard"),
    "stubble": ("stubble", "a short stubble"),
    "moustache": ("moustache", "mustache"),
    "goatee": ("goatee", "chin beard"),
}
HELD_OUT_SYNONYMS = frozenset(
    {
        "individual",
        "beaming",
        "chuckling",
        "gloomy",
        "furious",
        "startled",
        "aged",
        "spectacles",
        "shades",
        "woollen cap",
        "pompom hat",
        "sun hat",
        "baseball cap",
        "ear studs",
        "dangling earrings",
        "ginger",
        "silver",
        "golden",
        "bushy beard",
        "flowing beard",
        "chin beard",
    }
)

MOODS = {
    "smile": "smiling",
    "grin": "smiling",
    "laugh": "laughing",
    "sad": "sad",
    "angry": "angry",
    "surprised": "surprised",
    "wink": "winking",
    "smirk": "smirking",
}
HAIR = {
    "buzz cut": "{0} hair in a buzz cut",
    "short": "short {0} hair",
    "side part": "short side-parted {0} hair",
    "quiff": "a {0} quiff",
    "spiky": "spiky {0} hair",
    "bowl cut": "{0} hair in a bowl cut",
    "pixie cut": "a {0} pixie cut",
    "balding": "thinning {0} hair",
    "mohawk": "a {0} mohawk",
    "short curls": "short curly {0} hair",
    "afro": "a {0} afro",
    "bob": "a {0} bob",
    "wavy bob": "a wavy {0} bob",
    "long straight": "long straight {0} hair",
    "long wavy": "long wavy {0} hair",
    "long curly": "long curly {0} hair",
    "long fringe": "long {0} hair with a fringe",
    "ponytail": "{0} hair in a ponytail",
    "pigtails": "{0} pigtails",
    "braid": "a {0} braid",
    "bun": "{0} hair in a bun",
    "space buns": "{0} hair in two buns",
    "puffs": "two {0} puffs",
}
# Under a hat these still show what they are; of the others only that the hair is short.
SHOWN_UNDER_HAT = (*LONG_STYLES, "bob", "wavy bob", "ponytail", "pigtails", "braid", "short curls")
GONE_UNDER_HAT = ("bald", "mohawk", "buzz cut")
EARRINGS = {"studs": "stud earrings", "hoops": "hoop earrings", "drops": "drop earrings"}
BEARDS = {
    "stubble": "stubble",
    "moustache": "moustache",
    "goatee": "goatee",
    "full": "full beard",
    "long": "long beard",
}
_UNCOUNTED = ("stubble", "a short stubble")


def seen_hair_colour(attributes: Attributes) -> str:
    """The hair's colour as a viewer names it: age greys all but dyed hair."""
    if attributes.age > 0.78 and attributes.hair_colour not in (*DYED, "white"):
        return "grey"
    return attributes.hair_colour


def _say(word: str, variant: int, *, unseen: bool) -> str:
    kept = [w for w in SYNONYMS.get(word, (word,)) if (w in HELD_OUT_SYNONYMS) == unseen]
    return kept[variant % len(kept)] if kept else word


def _with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _hair(attributes: Attributes, say) -> str | None:
    style = attributes.hair_style
    colour = say(seen_hair_colour(attributes))
    if attributes.hat == "none":
        words = "a bald head" if style == "bald" else HAIR[style].format(colour)
    elif style in GONE_UNDER_HAT:
        return None
    elif style in SHOWN_UNDER_HAT:
        words = HAIR[style].format(colour)
    else:
        words = f"{colour} hair" if style in HIDDEN_BY_HAT or style == "balding" else f"short {colour} hair"
    return words.replace("a auburn", "an auburn")


def _traits(attributes: Attributes, say) -> list[str]:
    a = attributes
    traits = [hair] if (hair := _hair(a, say)) else []
    if a.beard != "none":
        word = say(BEARDS[a.beard])
        traits.append(word if word in _UNCOUNTED else _with_article(word))
    if a.glasses != "none":
        shape = a.glasses.split()[0] if " " in a.glasses or a.glasses in ("round", "square", "cat-eye") else ""
        noun = say("sunglasses" if "sunglasses" in a.glasses else "glasses")
        traits.append(f"{shape} {noun}".strip())
    if a.hat != "none":
        traits.append(_with_article(f"{a.hat_colour} {say(a.hat)}"))
    if a.earrings != "none":
        traits.append(say(EARRINGS[a.earrings]))
    return traits


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def caption(avatar: Avatar, phrasing: int, *, held_out_words: bool = False) -> str:
    """Say what the picture shows, and nothing that it hides.

    phrasing: its remainder by len(PHRASINGS) is the phrasing, the quotient turns through the synonyms.
    held_out_words: use the words of HELD_OUT_SYNONYMS wherever there is one.
    """
    a = avatar.attributes
    variant, which = divmod(phrasing, len(PHRASINGS))

    def say(word):
        return _say(word, variant, unseen=held_out_words)

    adjectives = [say(MOODS[a.expression])] if a.expression in MOODS else []
    if a.age > 0.4:
        adjectives.append(say("elderly" if a.age > 0.7 else "middle-aged"))
    after = [word for word in adjectives if " with " in word]
    adjectives = [word for word in adjectives if word not in after]
    person = " ".join([*adjectives, say("person"), *after])
    traits = _traits(a, say) or ["no hair in sight"]
    bare = [t.removeprefix("a ").removeprefix("an ") for t in traits]
    before = "".join(f"{word}, " for word in [*adjectives, *after])
    return PHRASINGS[which].format(
        a_person=_with_article(person), adjectives=before, traits=_listed(traits), traits_bare=_listed(bare)
    )
