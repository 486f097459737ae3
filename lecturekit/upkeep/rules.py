"""What a notebook of the course must be: each rule is a function that returns its complaints.

``python -m lecturekit refresh`` refuses to write a notebook that breaks one of `OUTPUT_RULES`; the tests hold
every committed notebook to all rules. CONTRIBUTING.md tells authors the same in prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from typing import Protocol

from nbformat import NotebookNode

#: A committed notebook is no larger than this (GitHub still draws it, a diff still opens).
MAX_BYTES = 400_000

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif", "image/webp")

_MACHINE = (
    re.compile(r"(?<![\w.:/-])/(?:home|Users|root|tmp|work|opt|var|private|mnt)/[\w./-]*"),
    re.compile(r"\b[A-Za-z]:\\+(?:Users|Windows|Program Files)[\\\w. -]*"),
    re.compile(r"\b0x[0-9a-fA-F]{7,16}\b"),
)


def size(notebook: NotebookNode) -> list[str]:
    """The file stays under `MAX_BYTES`; otherwise its three biggest cells are named."""
    total = len(json.dumps(notebook, indent=1, ensure_ascii=False).encode())
    if total < MAX_BYTES:
        return []
    cells = sorted(enumerate(notebook.cells), key=lambda item: -len(json.dumps(item[1])))
    biggest = ", ".join(f"cell {i}: {len(json.dumps(cell)) // 1000} KB" for i, cell in cells[:3])
    return [f"the notebook is {total // 1000} KB, the limit {MAX_BYTES // 1000} KB; biggest: {biggest}"]


def no_missing_results(notebook: NotebookNode) -> list[str]:
    """No table of the benchmarks was missing when the notebook ran, or readers of the page miss it, too."""
    return [
        f"cell {i}: {line.strip()}"
        for i, output in _outputs(notebook)
        for line in output.get("text", "").splitlines()
        if re.search(r"\.json is missing\b", line)
    ]


def run_in_order(notebook: NotebookNode) -> list[str]:
    """Code cells carry the counts 1, 2, 3 …: the outputs are of one run from top to bottom."""
    counts = [cell.execution_count for cell in _code(notebook)]
    wanted = list(range(1, len(counts) + 1))
    return [] if counts == wanted else [f"execution counts are {counts}, not 1 to {len(counts)}"]


def no_errors(notebook: NotebookNode) -> list[str]:
    """No output is an exception and nothing went to stderr."""
    return [
        f"cell {i}: {o.ename}: {o.evalue}"
        if o.output_type == "error"
        else f"cell {i}: stderr: {o.text.strip()}"
        for i, o in _outputs(notebook)
        if o.output_type == "error" or (o.output_type == "stream" and o.name == "stderr")
    ]


def no_widget_state(notebook: NotebookNode) -> list[str]:
    """No widget views or states, which a fresh kernel shows as "model not found" over the picture."""
    faults = ["the notebook has metadata.widgets"] if "widgets" in notebook.metadata else []
    return faults + [
        f"cell {i}: a widget view is in the outputs"
        for i, o in _outputs(notebook)
        if WIDGET_VIEW in o.get("data", {})
    ]


def no_machine_traces(notebook: NotebookNode) -> list[str]:
    """No folder of a machine and no memory address, in outputs or in the text."""
    texts = [(i, cell.source) for i, cell in enumerate(notebook.cells)]
    texts += [(i, text) for i, output in _outputs(notebook) for text in _texts(output)]
    return [f"cell {i}: '{trace}'" for i, text in texts for trace in machine_traces(text)]


def machine_traces(text: str) -> list[str]:
    """The absolute paths of a machine and the memory addresses in `text`."""
    return [match.group() for rule in _MACHINE for match in rule.finditer(text)]


def images_have_alt_text(notebook: NotebookNode) -> list[str]:
    """Images of outputs and text say what they show, where front ends and exported pages keep it: in HTML.

    The text in the metadata of an ``image/png`` output reaches no reader.
    """
    faults = [
        f"cell {i}: an output {mime} without alt text (plots.show puts one out that has it)"
        for i, output in _outputs(notebook)
        for mime in IMAGES
        if mime in output.get("data", {})
    ]
    texts = [(i, cell.source) for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"]
    texts += [
        (i, output.data["text/html"])
        for i, output in _outputs(notebook)
        if "text/html" in output.get("data", {})
    ]
    return faults + [f"cell {i}: {x}" for i, text in texts for x in _bare_images(text)]


def _bare_images(text: str) -> list[str]:
    """Markdown and HTML images of `text` that say nothing to someone who cannot see them."""
    markdown = re.findall(r"!\[\s*\]\([^)]*\)", text)
    html = [
        tag for tag in re.findall(r"<img\b[^>]*>", text) if not re.search(r"\balt=(['\"])\s*\S.*?\1", tag)
    ]
    return [f"image without alt text: {tag[:60]}" for tag in markdown + html]


def opening(notebook: NotebookNode) -> list[str]:
    """The first cell: title, 3 to 5 objectives below "You will be able to", minutes, lecture, machine."""
    cell = notebook.cells[0]
    text = cell.source if cell.cell_type == "markdown" else ""
    wanted = {
        "title": text.startswith("# "),
        "list of 3 to 5 objectives below 'You will be able to'": 3 <= len(objectives(notebook)) <= 5,
        "minutes for reading and for exercises": len(re.findall(r"\b\d+\s*min", text)) >= 2,
        "line '**Time:** …'": "**Time:**" in text,
        "line '**Lecture passage:** …'": "**Lecture passage:**" in text,
        "line '**Runs on:** …'": "**Runs on:**" in text,
    }
    return [f"cell 0: no {what}" for what, there in wanted.items() if not there]


def objectives(notebook: NotebookNode) -> list[str]:
    """The items of the list right below "You will be able to" in the first cell, as they are written."""
    lines = notebook.cells[0].source.splitlines()
    start = next((i for i, line in enumerate(lines) if "you will be able to" in line.lower()), len(lines))
    below = dropwhile(lambda line: not line.strip(), lines[start + 1 :])
    items: list[str] = []
    for line in takewhile(str.strip, below):
        if line.startswith(("- ", "* ")):
            items.append(line[2:].strip())
        elif items:
            items[-1] += f" {line.strip()}"
    return items


def recap(notebook: NotebookNode) -> list[str]:
    """After a heading with "Recap" each objective stands again word for word (case and stops aside)."""
    starts = [
        i for i, c in enumerate(notebook.cells) if re.search(r"^##+ .*\bRecap\b", c.source, re.MULTILINE)
    ]
    if not starts:
        return ["no heading with 'Recap'"]
    end = _plain(" ".join(c.source for c in notebook.cells[starts[-1] :] if c.cell_type == "markdown"))
    return [f"the recap does not repeat: {x}" for x in objectives(notebook) if _plain(x) not in end]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[*_`.,;:]", " ", text).lower().split())


def sections(notebook: NotebookNode) -> list[str]:
    """There is a heading "Quiz" in the text right above the quiz."""
    cells, faults = notebook.cells, []
    for i, cell in enumerate(cells):
        if re.fullmatch(r"exercises\.\w+\.show\(\)", cell.source.strip()):
            above = cells[i - 1].source.rstrip() if i and cells[i - 1].cell_type == "markdown" else ""
            if not re.search(r"^##+ (?:.*\b)?[Qq]uiz(?:zes)?\b", above, re.MULTILINE):
                faults.append(f"cell {i}: no heading 'Quiz' above the quiz")
    return faults


def short_cells(notebook: NotebookNode) -> list[str]:
    """Code cells have at most 24 lines, and more than half of them 2 to 11."""
    lines = [len(cell.source.strip().splitlines()) for cell in _code(notebook)]
    faults = [f"code cell {i + 1} has {n} lines, at most 24 wanted" for i, n in enumerate(lines) if n > 24]
    handy = sum(2 <= n <= 11 for n in lines)
    if 2 * handy <= len(lines):
        faults.append(f"{handy} of {len(lines)} code cells have 2 to 11 lines, more than half wanted")
    return faults


def links(notebook: NotebookNode) -> list[str]:
    """Links of the text have a text and go to an https address, a file named relatively, or a heading."""
    pairs = [
        (i, *pair)
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        for pair in re.findall(r"(?<!!)\[([^\]\n]*)\]\(([^)\n]*)\)", _without_code(cell.source))
    ]
    return [
        f"cell {i}: link [{text}]({to})"
        for i, text, to in pairs
        if not text.strip() or not _LINK.fullmatch(to)
    ]


_LINK = re.compile(r"https://[\w.-]+\.[a-z]{2,}(?:[/?#]\S*)?|#[\w.%-]+|(?:\.\./)*[\w-][\w./-]*(?:#[\w.%-]+)?")


def _without_code(text: str) -> str:
    """`text` without code and formulas, where brackets are no links."""
    return re.sub(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", "", text, flags=re.DOTALL)


class Rule(Protocol):
    """A function of a notebook that says what is amiss with it."""

    __name__: str

    def __call__(self, notebook: NotebookNode, /) -> list[str]:
        """Complaints, each about one place."""
        ...


#: What outputs must be; `refresh` writes nothing that breaks one of these.
OUTPUT_RULES = (
    size,
    run_in_order,
    no_errors,
    no_missing_results,
    no_widget_state,
    no_machine_traces,
    images_have_alt_text,
)
#: How a notebook teaches.
TEXT_RULES = (opening, recap, sections, short_cells, links)


def complaints(notebook: NotebookNode, rules: tuple[Rule, ...]) -> list[str]:
    """What `rules` have to say against a notebook, each complaint with the rule's name before it."""
    return [f"{rule.__name__}: {complaint}" for rule in rules for complaint in rule(notebook)]


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Every output with the number of its cell, counted from 0 over all cells."""
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield i, output


def _texts(output: NotebookNode) -> list[str]:
    """What an output says in words: its stream, traceback, and text or HTML or SVG forms."""
    words = [
        v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)
        for k, v in output.get("data", {}).items()
        if k == "image/svg+xml" or k not in IMAGES
    ]
    words = [re.sub(r"data:image/\w+;base64,[\w+/=]*", "", text) for text in words]
    return [output.get("text", ""), "\n".join(output.get("traceback", [])), *words]
