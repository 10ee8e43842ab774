"""Words for what captions name otherwise: in no caption, for asking what a map from text learnt from words alone.

Beside each word its occurrences in the 13.4 million words of Wikipedia and the 8.3 million of PubMed that the word
vectors are trained on; a word under 20 is kept, for other corpora, and named wherever a number would rest on it.
Single words, none of which stands in a caption, alone or in a compound: "bushy beard" would give itself away by its
second word, "aged" by "middle-aged".
"""

from collections.abc import Mapping

# fmt: off
UNSEEN: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "red": {"ginger": (46, 13), "scarlet": (88, 2), "crimson": (32, 0), "copper": (544, 131)},
    "grey": {"silver": (790, 70), "ash": (194, 19), "slate": (58, 0)},
    "blonde": {"golden": (1018, 13), "fair": (496, 106), "gold": (1366, 190)},
    "black": {"jet": (380, 73), "raven": (48, 0), "ebony": (17, 0)},
    "brown": {"chestnut": (20, 0), "hazel": (22, 4)},
    "auburn": {"mahogany": (17, 0), "maroon": (28, 0)},
    "platinum": {"pale": (143, 7), "bleached": (7, 1)},
    "white": {"ivory": (203, 4), "snowy": (29, 0)},
    "blue": {"azure": (25, 1), "cobalt": (50, 161), "indigo": (80, 0), "sapphire": (111, 3)},
    "teal": {"turquoise": (24, 0), "aqua": (46, 3), "cyan": (10, 0)},
    "green": {"emerald": (37, 0), "jade": (57, 0), "lime": (101, 3), "olive": (109, 29)},
    "purple": {"violet": (88, 8), "lavender": (75, 0)},
    "pink": {"rose": (739, 190), "salmon": (113, 13), "magenta": (13, 0)},
    "full beard": {"whiskers": (11, 0), "beards": (23, 0)},
    "glasses": {"spectacles": (22, 5), "lenses": (166, 53)},
    "sunglasses": {"shades": (65, 1), "goggles": (11, 1)},
    "beanie": {"bonnet": (28, 0), "hood": (278, 2), "headgear": (18, 12)},
    "stud earrings": {"buttons": (86, 5), "pins": (69, 14)},
    "elderly": {"senior": (639, 63), "ageing": (32, 31), "older": (1338, 1805)},
    "surprised": {"shocked": (74, 2), "stunned": (30, 21), "startled": (12, 0), "amazed": (14, 0)},
    "smiling": {"happy": (282, 9), "joyful": (7, 0), "merry": (68, 0)},
    "long": {"lengthy": (184, 17), "flowing": (148, 6)},
    "round": {"circular": (275, 100), "rounded": (129, 19), "spherical": (158, 71)},
    "square": {"rectangular": (125, 75), "squared": (50, 20)},
}
# fmt: on
