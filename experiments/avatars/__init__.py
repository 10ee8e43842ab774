"""Avatars: procedural portraits with everything known about them that a photograph hides."""

from .avatar import Attributes, Avatar, Identity, counterfactual
from .captions import HELD_OUT_PHRASINGS, HELD_OUT_SYNONYMS, PHRASINGS, SYNONYMS, caption
from .labels import BINARY_LABELS, attribute_table
from .landmarks import landmarks
from .motion import video
from .people import HELD_OUT_COMBINATIONS, VARIETIES, held_out, identity, sample
from .rendering import RENDERER_VERSION, SIZES, Rendered, render, render_batch
from .vocabulary import LANDMARKS, PARTS

__all__ = [
    "BINARY_LABELS",
    "HELD_OUT_COMBINATIONS",
    "HELD_OUT_PHRASINGS",
    "HELD_OUT_SYNONYMS",
    "LANDMARKS",
    "PARTS",
    "PHRASINGS",
    "RENDERER_VERSION",
    "SIZES",
    "SYNONYMS",
    "VARIETIES",
    "Attributes",
    "Avatar",
    "Identity",
    "Rendered",
    "attribute_table",
    "caption",
    "counterfactual",
    "held_out",
    "identity",
    "landmarks",
    "render",
    "render_batch",
    "sample",
    "video",
]
