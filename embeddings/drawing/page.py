"""A map of words as one HTML page that needs no network: zoom, search, and each word's true neighbours beside it."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path

import numpy as np

from advgen.core.errors import BadArgument
from advgen.core.files import write_atomically
from advgen.embeddings.drawing.caption import Drawing

_HERE = Path(__file__).parent


def page(path: Path, drawing: Drawing) -> None:
    """Writes an .html page; the same drawing gives the same file.

    Raises:
        BadArgument: another suffix.
    """
    if path.suffix != ".html":
        raise BadArgument(f"a page's name must end in .html, got {path.name!r}.")
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    data = _as_json(drawing)
    title, caption = escape(drawing.title), escape(drawing.caption)
    # Nothing may be fetched, and of all scripts this one alone may run, whatever a word contains.
    policy = f"default-src 'none'; style-src '{_allowed(style)}'; script-src '{_allowed(script)}'"
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p id="caption">{caption}</p>
</header>
<main>
<div id="stage">
<canvas id="map" tabindex="0" role="application" aria-label="Map of words" aria-describedby="keys"></canvas>
<div id="buttons"><button id="in" aria-label="Zoom in">+</button><button id="out" aria-label="Zoom out">−</button>
<button id="whole">Whole map</button></div>
</div>
<aside>
<input id="search" type="search" placeholder="Search {len(drawing.map.words):,} words" aria-label="Search words"
autocomplete="off" spellcheck="false">
<ul id="found" aria-label="Words found"></ul>
<ul id="groups" aria-label="Groups"></ul>
<section id="word" aria-live="polite"></section>
<p id="keys">Drag to move, wheel or + and − to zoom, 0 for the whole map, / to search, Escape to let go.</p>
<noscript>The map is drawn by a script, which is switched off here.</noscript>
</aside>
</main>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body>
</html>
"""
    write_atomically(path, text.encode())


def _as_json(drawing: Drawing) -> str:
    shown = drawing.map
    low, high = shown.places.min(axis=0), shown.places.max(axis=0)
    places = (shown.places - (low + high) / 2) / max(float((high - low).max()), 1e-12)
    kept = (shown.near[:, :, None] == shown.here[:, None, :]).any(axis=2)
    data = {
        "words": list(shown.words),
        "x": np.round(places[:, 0], 5).tolist(),
        "y": np.round(-places[:, 1], 5).tolist(),  # a page's y goes down
        "near": shown.near.tolist(),
        "cosines": np.round(shown.cosines.astype(np.float64), 3).tolist(),
        "kept": kept.astype(int).tolist(),
        "groups": list(map(int, drawing.groups)),
        "names": list(drawing.names),
        "counts": list(map(int, drawing.counts)),
        "arrows": [list(map(int, arrow)) for arrow in drawing.arrows],
        "first": list(map(int, drawing.first)),
    }
    # A word may hold what would end the script's element.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _allowed(code: str) -> str:
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"sha256-{digest}"
