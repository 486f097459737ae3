"""The Markdown of the notebooks as HTML, formulas left for MathJax, and its sentences."""

from __future__ import annotations

import html
import re

from markdown_it import MarkdownIt

#: Code first: what stands between backticks is no formula.
_FORMULA = re.compile(r"(`[^`\n]+`)|\$\$(.+?)\$\$|\$([^\s$](?:[^$\n]*[^\s$])?)\$", re.DOTALL)
_HOLD = "\ue000{}\ue001"  # a place for a formula, of letters that nobody writes
_HELD = re.compile("\ue000(\\d+)\ue001")
_SENTENCE = re.compile(r"([.!?][*\"”]*)\s+(?=[\"*`$A-Z\[])")
_NO_SENTENCE = re.compile(r"^(>|[-*] |\d+\. |\||#|\$\$|<|```|!\[|\*\*[^*]+\*\*$)")


def to_html(text: str) -> str:
    r"""Markdown as HTML; ``$x$`` becomes ``\(x\)`` and ``$$x$$`` becomes ``\[x\]``.

    Args:
        text: of a cell. HTML in it stays as it is.

    Example:
        >>> to_html("*So* $a_1$.")
        '<p><em>So</em> \\(a_1\\).</p>'
    """
    formulas: list[str] = []

    def held(found: re.Match) -> str:
        code, block, inline = found.groups()
        if code:
            return code
        formulas.append(f"\\[{html.escape(block)}\\]" if block else f"\\({html.escape(inline)}\\)")
        return _HOLD.format(len(formulas) - 1)

    made = MarkdownIt("commonmark", {"html": True}).enable("table").render(_FORMULA.sub(held, text))
    return _HELD.sub(lambda found: formulas[int(found[1])], made).strip()


def inline(text: str) -> str:
    """One paragraph of Markdown as HTML, without the paragraph.

    Args:
        text: a sentence.
    """
    return to_html(text.strip()).removeprefix("<p>").removesuffix("</p>")


def sentences(text: str) -> list[str]:
    """The sentences of a text's paragraphs; quotations, lists, tables and formulas are none.

    Args:
        text: Markdown.

    Example:
        >>> sentences("> Quoted.\\n\\nFirst one. Is this $a. B$ the second?")
        ['First one.', 'Is this $a. B$ the second?']
    """
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        words = " ".join(paragraph.split())
        if words and not _NO_SENTENCE.match(paragraph.strip()):
            found += _split(words)
    return found


def _split(words: str) -> list[str]:
    """Cut where a sentence ends, but not within a formula or within emphasis that is still open."""
    parts, begun = [], ""
    for part in _SENTENCE.sub(r"\1\n", words).splitlines():
        begun = f"{begun} {part}".strip()
        if begun.count("$") % 2 == 0 and begun.count("`") % 2 == 0:
            parts.append(begun)
            begun = ""
    return [*parts, begun] if begun else parts


def quotations(text: str) -> list[str]:
    """What a text quotes in a block.

    Args:
        text: Markdown.
    """
    blocks = re.findall(r"(?:^>.*\n?)+", text, re.MULTILINE)
    return [" ".join(re.sub(r"^> ?", "", block, flags=re.MULTILINE).split()) for block in blocks]


def formulas(text: str) -> list[str]:
    """The displayed formulas of a text, with their dollar signs.

    Args:
        text: Markdown.
    """
    return [f"$${found}$$" for found in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)]
