"""A widget's JavaScript, written in modules that import each other, as the one that a browser is given.

A front end loads a widget's code from a string, where ``import … from "./dom.js"`` would find nothing. All
modules of a widget share one scope after joining, so the same name must not be declared in two of them.
"""

from __future__ import annotations

import re
from pathlib import Path

#: The only forms of import that are written in this project: names, or a whole sheet, from a relative file.
_IMPORT = re.compile(r'^(?:import \{[^{}]*\} from|@import) "(\.[\w./-]+\.(?:js|css))";\n', re.MULTILINE)
_DECLARED = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function\*?) ([\w$]+)", re.MULTILINE)


def joined(path: str | Path) -> str:
    """The module or style sheet at `path` after all that it imports, each once, without the imports.

    Args:
        path: of the ``.js`` or ``.css`` file that the widget begins with.

    Raises:
        FileNotFoundError: there is no such module, or one that it imports.
        ValueError: an import in another form, modules that import each other in a circle, or a name that
            two of them declare.
    """
    texts: dict[Path, str] = {}
    _collect(Path(path).resolve(), texts, ())
    owners: dict[str, Path] = {}
    for module, text in texts.items():
        for name in _DECLARED.findall(text):
            if name in owners:
                raise ValueError(f"{name} is declared in {owners[name].name} and in {module.name}")
            owners[name] = module
    return "\n".join(texts.values())


def _collect(module: Path, texts: dict[Path, str], above: tuple[Path, ...]) -> None:
    """Put the text of `module` into `texts`, after the texts of what it imports."""
    if module in above:
        names = " -> ".join(path.name for path in (*above[above.index(module) :], module))
        raise ValueError(f"modules import each other in a circle: {names}")
    if module in texts:
        return
    text = module.read_text(encoding="utf-8")
    for imported in _IMPORT.findall(text):
        _collect((module.parent / imported).resolve(), texts, (*above, module))
    text = _IMPORT.sub("", text)
    left = re.search(r"^@?import\b.*$", text, re.MULTILINE)
    if left:
        raise ValueError(f'{module.name}: write import {{ names }} from "./file.js", got {left.group()!r}')
    texts[module] = text
