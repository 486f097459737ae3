"""What all widgets need: where their JavaScript is, and their form on pages where no kernel runs."""

from __future__ import annotations

from pathlib import Path

#: The modules and style sheets of the widgets, which `kit.javascript.joined` puts together.
JS = Path(__file__).with_name("js")


def with_still(
    bundle: dict | tuple[dict, dict] | None, html: str, words: str | None = None
) -> tuple[dict, dict]:
    """A widget's MIME bundle with a form in HTML, which front ends show where they cannot show the widget.

    Args:
        bundle: from the widget's own ``_repr_mimebundle_``.
        html: the still form.
        words: for a console; None leaves the bundle's own.
    """
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
    plain = {} if words is None else {"text/plain": words}
    return data | {"text/html": html} | plain, metadata  # the metadata name Colab's widget manager
