"""Avatars: procedural portraits with everything known about them that a photograph hides."""

from .avatar import Attributes, Avatar, Identity, counterfactual
from .people import HELD_OUT_COMBINATIONS, held_out, identity, sample
from .rendering import RENDERER_VERSION, Rendered, render, render_batch
from .vocabulary import LANDMARKS, PARTS
