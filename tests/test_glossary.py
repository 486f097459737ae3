"""The glossary: every term that a notebook sets in bold has a row, and the rows are in order."""

import json
import re

import pytest
from support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ROWS = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)[1:]
#: Bold for the voice, not for a word of the field.
STRESSED = {"two minutes", "with the rule", "the paper's", "in place of"}
#: Words of the field that the text uses without setting them in bold.
USED = [
    "head",
    "trunk",
    "student",
    "recipe",
    "kernel",
    "padding",
    "stride",
    "void",
    "epoch",
    "instance",
    "hook",
]


def names(row: str) -> set[str]:
    """Every form of a row's words: ``"CAM, class activation map"`` has two, brackets are left out."""
    bare = re.sub(r"\([^)]*\)", "", row)
    return {part.strip().lower() for part in [*bare.split(","), *row.split(","), row] if part.strip()}


KNOWN = set().union(*map(names, ROWS))


def terms(text: str) -> list[str]:
    """Bold words that name something: no heading of a paragraph, which ends with a stop, no whole clause."""
    bold = re.findall(r"\*\*([^*\n]+)\*\*", re.sub(r"`[^`]*`", "", text))
    return [b for b in bold if b[-1] not in ".:?!" and len(b.split()) <= 3 and b not in STRESSED]


FORM = ("You will be able to", "You can now", "Time", "A good answer", "References", "Sources", "Next")
CARDS = re.compile(r"^### (Exercise|Open task): ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_bold_terms_have_a_row(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    found = {t for text in texts if not CARDS.match(text) for t in terms(text)}
    missing = {t for t in found if not {t.lower(), t.lower().removesuffix("s")} & KNOWN}
    assert {t for t in missing if not t.startswith(FORM)} == set()


@pytest.mark.parametrize("word", USED)
def test_words_of_the_field_have_a_row(word):
    assert word in KNOWN


def test_rows_are_in_order_and_once_each():
    keys = [re.sub(r"[^a-z0-9 ]", "", row.lower()) for row in ROWS]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_the_search_finds_terms_and_leaves_the_rest():
    text = "**Context.** A **prior** is known. **Two minutes**: see **GrabCut+**. **This is a whole clause**"
    assert terms(text) == ["prior", "Two minutes", "GrabCut+"]
