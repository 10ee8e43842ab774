"""Provenance goes into a PNG and comes back; the pixels stay; hostile files are told in a sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from advgen.core import provenance
from advgen.core.errors import BadArgument, BadFile
from advgen.core.provenance import CODES, LIMIT, Provenance, Source, read, signed

MADE = Provenance(
    "trainedAlgorithmicMedia", "advgen edit", {"text": "red hair", "strength": 2.5}, (Source("a", "0" * 64),)
)


def png(side=9):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def with_packet(packet: bytes, compressed=b"\0"):
    data = b"XML:com.adobe.xmp\0" + compressed + b"\0\0\0" + packet
    chunk = struct.pack(">I", len(data)) + b"iTXt" + data + struct.pack(">I", zlib.crc32(b"iTXt" + data))
    whole = png()
    return whole[:33] + chunk + whole[33:]


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(provenance.SOURCE_TYPES)),
    TEXT.filter(bool),
    st.dictionaries(
        TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT | st.lists(TEXT, max_size=3), max_size=4
    ),
    st.lists(st.builds(Source, TEXT, TEXT), max_size=3),
)
def test_what_is_written_is_read_back(kind, maker, parameters, sources):
    made = Provenance(kind, maker, parameters, tuple(sources))
    assert read(signed(png(), made)) == made


def test_the_pixels_stay_as_they_are():
    assert (pixels(signed(png(), MADE)) == pixels(png())).all()


def test_the_same_picture_gives_the_same_file():
    assert signed(png(), MADE) == signed(png(), MADE)


def test_signing_again_replaces_what_was_said():
    other = Provenance("compositeWithTrainedAlgorithmicMedia", "another")
    again = signed(signed(png(), MADE), other)
    assert read(again) == other
    assert again.count(b"DigitalSourceType") == 1


def test_other_programs_find_the_iptc_field():
    """Pillow hands the packet out under the name that it gives XMP."""
    found = Image.open(io.BytesIO(signed(png(), MADE)))
    assert f'DigitalSourceType="{CODES}trainedAlgorithmicMedia"' in found.info["XML:com.adobe.xmp"]


def test_a_picture_without_it_says_nothing():
    assert read(png()) is None
    assert read(with_packet(b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')) is None


def test_it_is_told_in_plain_words_and_short():
    told = Provenance("trainedAlgorithmicMedia", "m", {"prompt": "x" * 9999}, MADE.sources).told()
    assert told["how it came to be"].startswith("made by a trained generative model")
    assert len(told["  prompt"]) == provenance.SHOWN
    assert told["made from"] == f"a, SHA-256 {'0' * 64}"


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
HOSTILE = {
    "document type": with_packet(BOMB),
    "no XML": with_packet(b"<x:xmpmeta"),
    "is no XML": with_packet("<x/>".encode("utf-16")),
    "limit is": with_packet(b" " * (LIMIT + 1)),
    "compressed": with_packet(zlib.compress(b" " * 10**6), b"\1"),
    "not a PNG": b"GIF89a",
    "cut off": png()[:60],
    "damaged": with_packet(provenance._packet(MADE).replace('[["a"', '[[["a"').encode()),
}


@pytest.mark.parametrize("said", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence(said):
    with pytest.raises(BadFile, match=said):
        read(HOSTILE[said])


def test_what_follows_the_end_of_a_picture_is_ignored():
    assert read(signed(png(), MADE) + b"trailing") == MADE


def test_a_maker_and_a_known_source_type_are_asked_for():
    with pytest.raises(BadArgument, match="name of its maker"):
        Provenance("trainedAlgorithmicMedia", "")
    with pytest.raises(BadArgument, match="digital source type is one of"):
        Provenance("painted", "m")
    with pytest.raises(BadArgument, match="may hold"):
        signed(png(), Provenance("trainedAlgorithmicMedia", "m", {"all": "x" * LIMIT}))
