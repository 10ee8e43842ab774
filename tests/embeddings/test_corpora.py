"""Corpora read what is there, remove by rule, and say what they lost."""

import bz2
import gzip
import hashlib
import lzma
from pathlib import Path

import pytest

from advgen.core.errors import BadArgument, MissingFile
from advgen.embeddings.corpora.excerpts import pubmed_excerpt, wikipedia_excerpt
from advgen.embeddings.corpora.pubmed import PubMed
from advgen.embeddings.corpora.source import Account
from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.wikipedia import Wikipedia

SITE = '<siteinfo><namespaces><namespace key="6">Файл</namespace></namespaces></siteinfo>'


def page(text: str, *, ns: int = 0, extra: str = "") -> str:
    return f"<page><title>T</title><ns>{ns}</ns>{extra}<revision><text>{text}</text></revision></page>"


def dump(*pages: str) -> bytes:
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{SITE}{"".join(pages)}</mediawiki>'.encode()


def citation(pmid: int, title: str, *, version: int = 1, abstract: str = "") -> str:
    body = f"<Article><ArticleTitle>{title}</ArticleTitle><Abstract>{abstract}</Abstract></Article>"
    identifier = f'<PMID Version="{version}">{pmid}</PMID>'
    return f"<PubmedArticle><MedlineCitation>{identifier}{body}</MedlineCitation></PubmedArticle>"


def pubmed_file(path: Path, *records: str) -> Path:
    path.write_bytes(gzip.compress(f"<PubmedArticleSet>{''.join(records)}</PubmedArticleSet>".encode()))
    return path


def prose(wikitext: str, tmp_path: Path) -> tuple[list[str], Account]:
    path = tmp_path / "wiki.xml"
    path.write_bytes(dump(page(wikitext.replace("&", "&amp;").replace("<", "&lt;"))))
    account = Account()
    return list(Wikipedia([path]).paragraphs(account)), account


def test_words_keep_their_digits() -> None:
    words = Tokeniser().words("IL-6, HbA1c: 3.5 of 1,000; don't use Darwin's state-of-the-art COVID-19 tests in 5-HT…")
    expected = "il-6 hba1c 3.5 of 1,000 don't use darwin s state of the art covid-19 tests in 5-ht"
    assert " ".join(words) == expected
    assert "IL-6" in Tokeniser().rule
    assert Tokeniser(lowercase=False).words("HbA1c") == ["HbA1c"]


def test_vowel_signs_do_not_split_a_word() -> None:
    assert Tokeniser().words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_text_is_read_plain_or_compressed(pack: object, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_bytes(pack("un é\n\ndeux\n".encode()))  # type: ignore[operator]
    assert list(PlainText([path]).paragraphs(Account())) == ["un é", "deux"]


def test_wikiextractors_output_is_read_in_both_forms(tmp_path: Path) -> None:
    plain, lines = tmp_path / "wiki_00", tmp_path / "wiki_01"
    plain.write_text('<doc id="1" url="u" title="A">\nA\n\nof a\n</doc>\n')
    lines.write_text('{"id": "2", "title": "B", "text": "B\\n\\nof b"}\n{"no article"}\n')
    assert list(PlainText([plain, lines]).paragraphs(Account())) == ["A", "of a", "B", "of b", '{"no article"}']


def test_a_truncated_gzip_is_named_and_the_next_file_goes_on(tmp_path: Path) -> None:
    lines = "\n".join(hashlib.sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(4000))
    cut, whole = tmp_path / "a.gz", tmp_path / "b.gz"
    cut.write_bytes(gzip.compress(lines.encode())[:-5000])
    whole.write_bytes(gzip.compress(b"last\n"))
    account = Account()
    read = list(PlainText([cut, whole]).paragraphs(account))
    assert len(read) > 1000
    assert read[-1] == "last"
    assert [(Path(loss.file).name, "cut off" in loss.what) for loss in account.lost] == [("a.gz", True)]


def test_lines_in_a_wrong_encoding_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"good\n" + "schön\n".encode("latin-1") * 3 + b"good\n")
    account = Account()
    assert list(PlainText([path]).paragraphs(account)) == ["good", "good"]
    assert account.lost[0].what == "3 lines that are not UTF-8, the first is line 2"


def test_text_with_a_utf16_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.txt"
    path.write_bytes("один\nдва\n".encode("utf-16"))
    assert list(PlainText([path]).paragraphs(Account())) == ["один", "два"]


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("an area of {{convert|12.5|km2|sqmi}} and", "an area of 12.5 km2 and"),
        ("{{convert|5|to|10|mi|km}} away", "5 to 10 mi away"),
        ("{{val|1.6|0.1|u=kg}} heavy", "1.6 kg heavy"),
        ("in {{lang|de|Köln}}{{citation needed|date=May}}", "in Köln"),
        ("[[Paris|the city]] and [[France]]", "the city and France"),
        ("'''bold''' ''italic''<ref>{{cite|x}}</ref> text", "bold italic text"),
        ("[[File:a.jpg|thumb|135px|a [[cat]]]]seen", "seen"),
        ("[[Файл:a.jpg|thumb]]seen [[Category:X]]", "seen"),
        ("{|\n|a||b\n|}after", "after"),
        ("a [http://x.org site] b&nbsp;c&amp;d", "a site b\xa0c&d"),
        ("* item <!-- note -->one", "item one"),
        ("__NOTOC__x<math>a^2</math>y", "xy"),
    ],
)
def test_mark_up_leaves_prose(wikitext: str, expected: str, tmp_path: Path) -> None:
    assert prose(wikitext, tmp_path)[0] == [expected]


def test_what_each_rule_removed_is_counted(tmp_path: Path) -> None:
    _, account = prose("a{{x}}{{y|z}}<ref>r</ref>\n== H ==\n[[Category:C]]", tmp_path)
    assert account.removed == {"template": 2, "reference": 1, "heading": 1, "category": 1}
    assert account.removed_characters["template"] == len("{{x}}{{y|z}}")


def test_only_articles_that_are_no_redirects_are_read(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml.bz2"
    half = dump(page("one"), page("talk", ns=1), page("#REDIRECT [[one]]"), page("r", extra='<redirect title="one"/>'))
    # A multistream dump is several bz2 streams one after the other.
    path.write_bytes(bz2.compress(half[:200]) + bz2.compress(half[200:]))
    account = Account()
    assert list(Wikipedia([path]).paragraphs(account)) == ["one"]
    assert account.removed["redirect"] == 2
    assert account.removed["page outside the articles"] == 1


def test_broken_xml_is_stepped_over_and_its_cut_page_left_out(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml"
    path.write_bytes(
        dump(page("one"), page("two & <b> three"), page("four"))[: -len("r</text></revision></page></mediawiki>")]
    )
    account = Account()
    read = list(Wikipedia([path]).paragraphs(account))
    assert read[0] == "one"
    assert not any(paragraph.startswith("fou") for paragraph in read)
    assert all(loss.file == str(path) for loss in account.lost)
    assert any("cuts off" in loss.what for loss in account.lost)


def test_a_page_whose_mark_up_takes_too_long_is_lost_and_named(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml"
    path.write_bytes(dump(page("one"), page("&lt;ref&gt;" * 40_000), page("two")))
    account = Account()
    assert list(Wikipedia([path], page_seconds=1.5).paragraphs(account)) == ["one", "two"]
    assert [loss.what for loss in account.lost] == ["the page 'T': its mark-up took over 1.5 s"]


def test_a_file_without_pages_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.xml"
    path.write_bytes(b"no mark-up at all")
    account = Account()
    assert list(Wikipedia([path]).paragraphs(account)) == []
    assert any("no page was found" in loss.what for loss in account.lost)


def test_inline_mark_up_of_an_abstract_keeps_its_text(tmp_path: Path) -> None:
    abstract = (
        '<AbstractText Label="AIM">CO<sub>2</sub> and <i>E. coli</i></AbstractText><AbstractText>End.</AbstractText>'
    )
    path = pubmed_file(tmp_path / "p.xml.gz", citation(1, "On <b>gas</b>.", abstract=abstract))
    assert list(PubMed([path]).paragraphs(Account())) == ["On gas. CO2 and E. coli End."]
    assert list(PubMed([path], labels=True).paragraphs(Account())) == ["On gas. AIM: CO2 and E. coli End."]


def test_the_last_version_wins_and_deletions_are_honoured(tmp_path: Path) -> None:
    gone = "<DeleteCitation><PMID>3</PMID><PMID>5</PMID></DeleteCitation>"
    first = pubmed_file(
        tmp_path / "pubmed26n0001.xml.gz",
        citation(1, "old"), citation(2, "two v2", version=2), citation(2, "two v1"), citation(3, "three"),
    )  # fmt: skip
    later = pubmed_file(tmp_path / "pubmed26n0002.xml.gz", citation(1, "new"), citation(5, "five"), gone)
    assert set(PubMed([first, later]).paragraphs(Account())) == {"new", "two v2"}


def test_a_file_that_fails_its_checksum_is_left_out(tmp_path: Path) -> None:
    good = pubmed_file(tmp_path / "a.xml.gz", citation(1, "good"))
    bad = pubmed_file(tmp_path / "b.xml.gz", citation(2, "bad"))
    (tmp_path / "a.xml.gz.md5").write_text(f"MD5(a.xml.gz)= {hashlib.md5(good.read_bytes()).hexdigest()}\n")
    (tmp_path / "b.xml.gz.md5").write_text(f"MD5(b.xml.gz)= {'0' * 32}\n")
    account = Account()
    assert list(PubMed([tmp_path]).paragraphs(account)) == ["good"]
    assert [Path(loss.file).name for loss in account.lost] == [bad.name]


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no corpus file"):
        PlainText([tmp_path / "none"])
    with pytest.raises(BadArgument, match="no corpus file was given"):
        PlainText([])


def test_the_embedded_excerpt_is_there() -> None:
    assert next(Wikipedia([wikipedia_excerpt()]).paragraphs(Account())).startswith(
        "Anarchism is a political philosophy"
    )


def test_the_pubmed_excerpt_is_small_and_names_its_licence() -> None:
    path = pubmed_excerpt()
    assert path.stat().st_size < 1_000_000
    assert "MIT License" in path.with_name("pubmedqa-licence.txt").read_text()
    account = Account()
    assert len(list(PlainText([path]).paragraphs(account))) == 1000
    assert account.lost == []


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_neither_order_nor_account(workers: int, tmp_path: Path) -> None:
    slow = "&lt;ref&gt;" * 40_000  # minutes of work for the parser
    pages = [page(f"number {n} {{{{template}}}}") for n in range(30)]
    path = tmp_path / "wiki.xml"
    path.write_bytes(dump(*pages[:7], page(slow), *pages[7:], page("r", extra='<redirect title="x"/>')))
    account = Account()
    read = list(Wikipedia([path], workers=workers, page_seconds=3).paragraphs(account))
    assert read == [f"number {n}" for n in range(30)]
    assert (account.read["pages"], account.read["documents"]) == (32, 30)
    assert account.removed == {"template": 30, "redirect": 1}
    assert len(account.lost) == 1


def test_a_reading_that_ends_early_waits_for_no_page(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml"
    path.write_bytes(dump(page("one"), page("&lt;ref&gt;" * 40_000), *(page("two") for _ in range(20))))
    reading = Wikipedia([path], workers=2, page_seconds=300).paragraphs(Account())
    assert next(reading) == "one"
    reading.close()  # type: ignore[attr-defined]


def test_the_real_utf16_dump_is_read(shared_data: Path) -> None:
    account = Account()
    dump = shared_data / "text" / "wikipedia" / "bgwiki-latest-pages-articles-shortened.xml.bz2"
    assert len(list(Wikipedia([dump]).paragraphs(account))) > 40
    assert account.read["pages"] == 3
    assert account.lost == []


def test_real_pubmed_files_of_every_year_are_read(shared_data: Path) -> None:
    account = Account()
    paragraphs = list(PubMed([shared_data / "text" / "pubmed" / "xml"]).paragraphs(account))
    assert len(paragraphs) > 1000
    assert account.read["checksums"] == 2
    assert account.read["deletions"] == 20
    assert account.lost == []
