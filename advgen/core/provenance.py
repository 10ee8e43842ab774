"""Provenance: what a made picture says of itself, in its own file, in words that other programs read too.

Everything that a maker here writes carries an XMP packet with the IPTC digital source type (the field that photo
archives, search engines and platforms look for), the maker, its parameters, and the SHA-256 of each file that it was
made from. There is no switch to leave it out. A file hangs on its pixels and its provenance alone: no clock, no host.

What is read back was written by anybody: sizes are limited, documents with a DOCTYPE are refused (entities can be made
to grow without end), and what is no packet of ours is told in plain words, never run and never followed.

IPTC Photo Metadata Standard, "Digital Source Type"; XMP, ISO 16684-1, part 3 for its place in a PNG.
"""

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, final
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from advgen import __version__
from advgen.core.errors import BadArgument, BadFile
from advgen.core.files import sha256

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced"]
SOURCE_TYPES: Mapping[str, str] = {
    "trainedAlgorithmicMedia": "made by a trained generative model",
    "compositeWithTrainedAlgorithmicMedia": "a real picture with parts made by a trained generative model",
    "algorithmicallyEnhanced": "a picture whose pixels were changed by an algorithm",
}
CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
LIMIT = 256 * 1024  # bytes of a packet that is read back
SHOWN = 500  # characters of one value that is told
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"XML:com.adobe.xmp"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_OWN = "urn:advgen:provenance:1"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Source(NamedTuple):
    """A file that something was made from."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Source":
        return cls(path.name, sha256(path))


@final
@dataclass(frozen=True)
class Provenance:
    """How a picture was made. Parameters are JSON values.

    Raises:
        BadArgument: no such source type, or no maker.
    """

    source_type: SourceType
    maker: str  # command or plug-in, e.g. "advgen edit" or "deepfake/swap_latent"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    program: str = f"advgen {__version__}"

    def __post_init__(self) -> None:
        if self.source_type not in SOURCE_TYPES:
            raise BadArgument(f"a digital source type is one of {', '.join(SOURCE_TYPES)}, got {self.source_type!r}.")
        if not self.maker:
            raise BadArgument("a made picture needs the name of its maker.")

    def told(self) -> dict[str, str]:
        """In plain words, for people; values from a file are cut at a few hundred characters."""
        lines = {
            "how it came to be": f"{SOURCE_TYPES[self.source_type]} ({self.source_type})",
            "made by": _cut(f"{self.maker}, {self.program}"),
        }
        lines |= {f"  {_cut(str(name), 40)}": _cut(_as_text(value)) for name, value in self.parameters.items()}
        for number, source in enumerate(self.sources):
            lines["made from" if number == 0 else f"  and from ({number + 1})"] = _cut(
                f"{source.name}, SHA-256 {source.sha256}"
            )
        return lines


def signed(png: bytes, provenance: Provenance) -> bytes:
    """The bytes of a PNG with this provenance in it, in place of any packet that was there; pixels are untouched.

    Raises:
        BadFile: not a PNG.
        BadArgument: more than 256 KB of it.
    """
    packet = _packet(provenance).encode()
    if len(packet) > LIMIT - len(_KEYWORD) - 5:
        raise BadArgument(f"the provenance of a picture may hold {LIMIT:,} bytes, got {len(packet):,}.")
    # keyword, no compression, no language, no translated keyword
    chunk = _chunk(b"iTXt", _KEYWORD + b"\0\0\0\0\0" + packet)
    parts = [_SIGNATURE]
    for kind, data in _chunks(png):
        if not (kind == b"iTXt" and data.startswith(_KEYWORD + b"\0")):
            parts.append(_chunk(kind, data))
        if kind == b"IHDR":
            parts.append(chunk)
    return b"".join(parts)


def read(png: bytes) -> Provenance | None:
    """What a PNG says of itself; None where it says nothing that was written here.

    Raises:
        BadFile: not a PNG, a packet larger than 256 KB, or one that is not what it claims to be.
    """
    for kind, data in _chunks(png):
        if kind != b"iTXt" or not data.startswith(_KEYWORD + b"\0"):
            continue
        if len(data) > LIMIT:
            raise BadFile(f"its XMP packet holds {len(data):,} bytes; the limit is {LIMIT:,}.")
        compressed, text = data[len(_KEYWORD) + 1 :][:1], data.split(b"\0", 5)[-1]
        if compressed != b"\0":
            raise BadFile("its XMP packet is compressed, which the PNG rules for XMP do not allow.")
        return _parsed(text)
    return None


def _packet(provenance: Provenance) -> str:
    own = {
        "maker": provenance.maker,
        "parameters": json.dumps(dict(provenance.parameters), sort_keys=True, default=str),
        "sources": json.dumps([list(source) for source in provenance.sources]),
    }
    attributes = [
        f"Iptc4xmpExt:DigitalSourceType={quoteattr(CODES + provenance.source_type)}",
        f"xmp:CreatorTool={quoteattr(provenance.program)}",
        *(f"advgen:{name}={_attribute(value)}" for name, value in own.items()),
    ]
    body = "\n    ".join(attributes)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}" xmlns:xmp="{_XMP}" xmlns:advgen="{_OWN}"\n'
        f"    {body}/>\n"
        " </rdf:RDF>\n"
        "</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    )


def _attribute(value: str) -> str:
    """A value as an XML attribute; characters that XML cannot hold become spaces."""
    return quoteattr(_NOT_XML.sub(" ", value))


def _parsed(packet: bytes) -> Provenance | None:
    try:
        text = packet.decode("utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BadFile("its XMP packet declares a document type; such packets are not read.")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadFile(f"its XMP packet is no XML: {error}.") from None
    for about in root.iter(f"{{{_RDF}}}Description"):
        code = about.get(f"{{{_IPTC}}}DigitalSourceType", "")
        maker = about.get(f"{{{_OWN}}}maker")
        if maker is None:
            continue
        try:
            parameters = json.loads(about.get(f"{{{_OWN}}}parameters", "{}"))
            sources = tuple(Source(str(name), str(digest)) for name, digest in _list(about.get(f"{{{_OWN}}}sources")))
            if not isinstance(parameters, dict):
                raise ValueError("parameters are no table")
            kind: Any = code.removeprefix(CODES)
            return Provenance(kind, maker, parameters, sources, about.get(f"{{{_XMP}}}CreatorTool", "unknown"))
        except (ValueError, TypeError, RecursionError, BadArgument):
            raise BadFile("it claims to be made by advgen, and what it says of that is damaged.") from None
    return None


def _list(text: str | None) -> list[Any]:
    found = json.loads(text or "[]")
    if not isinstance(found, list):
        raise ValueError("sources are no list")
    return found


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk of a PNG, in order.

    Raises:
        BadFile: not a PNG, or cut off.
    """
    if not png.startswith(_SIGNATURE):
        raise BadFile("it is not a PNG; provenance is kept in PNG files.")
    at = len(_SIGNATURE)
    while at < len(png):
        if at + 12 > len(png):
            raise BadFile("its PNG chunks are cut off.")
        (length,) = struct.unpack(">I", png[at : at + 4])
        if at + 12 + length > len(png):
            raise BadFile("its PNG chunks are cut off.")
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if png[at + 4 : at + 8] == b"IEND":
            return  # what some programs append is no part of the picture
        at += 12 + length


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, limit: int = SHOWN) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
