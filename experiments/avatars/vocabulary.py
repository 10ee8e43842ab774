"""The values an avatar's attributes may take, their colours, and the names of the picture's parts.

Colours are display RGB, 0..1.
"""

# fmt: off
SKIN_TONES = {
    "porcelain": (0.98, 0.86, 0.80), "fair": (0.96, 0.80, 0.71), "rosy": (0.94, 0.74, 0.66),
    "beige": (0.91, 0.72, 0.57), "olive": (0.82, 0.65, 0.47), "tan": (0.78, 0.56, 0.40),
    "caramel": (0.69, 0.47, 0.32), "brown": (0.56, 0.37, 0.25), "dark": (0.44, 0.28, 0.20),
    "deep": (0.33, 0.21, 0.16),
}
EYE_COLOURS = {
    "brown": (0.42, 0.25, 0.12), "dark": (0.24, 0.15, 0.09), "hazel": (0.54, 0.42, 0.16), "green": (0.30, 0.56, 0.30),
    "blue": (0.28, 0.54, 0.84), "grey": (0.50, 0.58, 0.64), "amber": (0.70, 0.46, 0.14),
}
HAIR_COLOURS = {
    "black": (0.13, 0.11, 0.12), "dark brown": (0.28, 0.18, 0.12), "brown": (0.44, 0.28, 0.17),
    "auburn": (0.52, 0.20, 0.11), "red": (0.85, 0.36, 0.11), "blonde": (0.90, 0.73, 0.38),
    "platinum": (0.94, 0.89, 0.75), "grey": (0.60, 0.60, 0.62), "white": (0.94, 0.94, 0.95),
    "blue": (0.19, 0.39, 0.86), "teal": (0.10, 0.66, 0.66), "green": (0.28, 0.62, 0.28),
    "purple": (0.52, 0.28, 0.80), "pink": (0.96, 0.50, 0.70),
}
DYED = ("blue", "teal", "green", "purple", "pink")

# Order matters: the style's place is its row in `styles.py`.
HAIR_STYLES = ("bald", "buzz cut", "short", "side part", "quiff", "spiky", "bowl cut", "pixie cut", "balding",
               "mohawk", "short curls", "afro", "bob", "wavy bob", "long straight", "long wavy", "long curly",
               "long fringe", "ponytail", "pigtails", "braid", "bun", "space buns", "puffs")
LONG_STYLES = ("long straight", "long wavy", "long curly", "long fringe")
PLAIN_STYLES = ("short", "side part", "bowl cut", "bob", "long straight", "afro")

BEARDS = ("none", "stubble", "moustache", "goatee", "full", "long")
GLASSES = ("none", "round", "square", "cat-eye", "sunglasses", "round sunglasses")
TINTED = ("sunglasses", "round sunglasses")
HATS = ("none", "beanie", "bobble hat", "brimmed hat", "cap", "beret", "bucket hat")
EARRINGS = ("none", "studs", "hoops", "drops")
EXPRESSIONS = ("neutral", "smile", "grin", "laugh", "sad", "angry", "surprised", "wink", "smirk")
SMILING = ("smile", "grin", "laugh", "wink", "smirk")
BACKGROUNDS = ("plain", "disc", "stripes", "dots", "hills", "bokeh", "window", "rays")
PLAIN_BACKGROUNDS = ("plain", "disc")
NECKLINES = ("crew", "v-neck", "turtleneck", "collar", "hoodie", "scoop", "blazer")
PATTERNS = ("plain", "stripes", "plaid", "knit", "dots")

# What covers a style's buns, tails above the ears or crown, so that neither picture nor caption shows them.
HIDDEN_BY_HAT = ("bun", "space buns", "mohawk", "quiff", "spiky", "puffs")

FABRIC_COLOURS = {
    "red": (0.84, 0.26, 0.25), "orange": (0.93, 0.50, 0.22), "yellow": (0.95, 0.79, 0.28), "green": (0.36, 0.64, 0.38),
    "mint": (0.60, 0.84, 0.72), "teal": (0.16, 0.56, 0.58), "blue": (0.18, 0.44, 0.74),
    "light blue": (0.52, 0.76, 0.92),
    "navy": (0.17, 0.22, 0.38), "purple": (0.48, 0.34, 0.66), "pink": (0.93, 0.58, 0.68), "coral": (0.94, 0.50, 0.42),
    "cream": (0.94, 0.90, 0.80), "grey": (0.58, 0.61, 0.66), "charcoal": (0.22, 0.23, 0.27),
    "brown": (0.50, 0.35, 0.25),
}
FRAME_COLOURS = {
    "black": (0.09, 0.09, 0.10), "brown": (0.33, 0.19, 0.12), "red": (0.76, 0.13, 0.18), "blue": (0.15, 0.25, 0.62),
    "teal": (0.08, 0.48, 0.48), "white": (0.95, 0.96, 0.98), "gold": (0.90, 0.72, 0.28), "pink": (0.97, 0.62, 0.74),
}
EARRING_COLOURS = {
    "gold": (0.96, 0.77, 0.26), "silver": (0.87, 0.90, 0.95), "red": (0.86, 0.14, 0.24), "teal": (0.10, 0.64, 0.60),
}
BACKGROUND_COLOURS = {
    "cream": (0.96, 0.91, 0.78), "sky": (0.68, 0.83, 0.94), "sage": (0.62, 0.76, 0.62), "peach": (0.97, 0.76, 0.64),
    "lilac": (0.82, 0.77, 0.90), "rose": (0.94, 0.76, 0.79), "mint": (0.76, 0.90, 0.85), "amber": (0.96, 0.78, 0.44),
    "slate": (0.36, 0.45, 0.55), "plum": (0.40, 0.33, 0.47), "navy": (0.18, 0.24, 0.36), "teal": (0.33, 0.56, 0.57),
}

PARTS = {name: value for value, name in enumerate(
    ("background", "clothes", "neck", "face", "ear", "beard", "lips", "mouth", "eye", "iris", "brow", "hair",
     "frame", "clear lens", "tinted lens", "hat", "earring"))}

LANDMARKS = (
    "left eye outer", "left eye inner", "left pupil", "right eye inner", "right eye outer", "right pupil",
    "left brow outer", "left brow middle", "left brow inner",
    "right brow inner", "right brow middle", "right brow outer",
    "nose bridge", "nose tip", "left nostril", "right nostril",
    "mouth left", "mouth top", "mouth right", "mouth bottom",
    "chin", "left jaw", "right jaw", "left ear", "right ear", "forehead",
)
# fmt: on
