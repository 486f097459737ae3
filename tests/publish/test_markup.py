import pytest

from lecturekit.publish.markup import formulas, inline, quotations, sentences, to_html


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a $x_1 * y * z$ b", r"<p>a \(x_1 * y * z\) b</p>"),
        ("$$a < b$$", r"<p>\[a &lt; b\]</p>"),
        ("`$HOME` and `$PATH`", "<p><code>$HOME</code> and <code>$PATH</code></p>"),
        ("5 $ and 6 $", "<p>5 $ and 6 $</p>"),
        ("**b** *i*", "<p><strong>b</strong> <em>i</em></p>"),
    ],
)
def test_formulas_survive_the_markdown(text, made):
    assert to_html(text) == made


def test_inline_has_no_paragraph():
    assert inline("`x` of *y*") == "<code>x</code> of <em>y</em>"


def test_sentences_leave_out_what_is_none():
    text = "> Quoted.\n\nOne, e.g. two. *Three?* Four\n\n- item\n\n| a |\n\n1. one\n\n**Bold.** Five."
    assert sentences(text) == ["One, e.g. two.", "*Three?*", "Four", "**Bold.**", "Five."]


def test_quotations_and_formulas():
    text = '> "a\n> b"\n\nwords\n\n> c\n\n$$x$$\n\n$$\ny\n$$'
    assert quotations(text) == ['"a b"', "c"]
    assert formulas(text) == ["$$x$$", "$$\ny\n$$"]
