"""Every rule for notebooks holds for a good one and objects to a bad one."""

import copy

import pytest
from nbformat import v4

from lecturekit.upkeep import rules
from lecturekit.upkeep.rules import (
    OUTPUT_RULES,
    TEXT_RULES,
    WIDGET_VIEW,
    complaints,
    machine_traces,
    objectives,
)

OPENING = """# 05 · Maps

**You will be able to**

- compute a *map*
  of classes
- turn it into a `box`
- say where it fails

**Time:** 20 minutes to read, 30 minutes for the exercises

**Lecture passage:** "we pool in the penultimate layer"

**Runs on:** any laptop
"""
RECAP = """## Recap

**You can now**

- compute a map of classes,
- turn it into a box,
- say where it fails.
"""
CELL = "x = 1\nx"


def good():
    """A notebook that breaks no rule."""
    code = [v4.new_code_cell(CELL, execution_count=count) for count in (1, 2)]
    code[0].outputs = [
        v4.new_output("stream", name="stdout", text="0.94\n"),
        v4.new_output(
            "display_data", {"text/html": '<img alt="a cat" src="data:image/webp;base64,A/tmp/A">'}
        ),
    ]
    text = "![cat](cat.png), [the paper](https://arxiv.org/abs/1512.04150), [below](#recap), [06](06_g.ipynb)"
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell(OPENING),
            code[0],
            v4.new_markdown_cell(text),
            code[1],
            v4.new_markdown_cell("## Quiz"),
            v4.new_code_cell("exercises.after_maps.show()", execution_count=3),
            v4.new_code_cell("exercises.chapter.recall().show()\n", execution_count=4),
            v4.new_code_cell(CELL, execution_count=5),
            v4.new_code_cell(CELL, execution_count=6),
            v4.new_markdown_cell(RECAP),
        ]
    )


def opening(old, new):
    assert old in OPENING
    return lambda nb: nb.cells[0].update(source=OPENING.replace(old, new))


def text(source):
    return lambda nb: nb.cells[2].update(source=source)


def code(source):
    return lambda nb: nb.cells[3].update(source=source)


def output(*arguments, **named):
    return lambda nb: nb.cells[1].outputs.append(v4.new_output(*arguments, **named))


def image(mime, **metadata):
    return output("display_data", {mime: "AAAA"}, metadata=metadata)


BAD = [
    (rules.size, output("stream", name="stdout", text="x" * 400_000)),
    (rules.run_in_order, lambda nb: nb.cells[3].update(execution_count=3)),
    (rules.run_in_order, lambda nb: nb.cells[3].update(execution_count=None)),
    (rules.run_in_order, lambda nb: nb.cells[1].update(execution_count=2)),
    (rules.no_errors, output("error", ename="ValueError", evalue="no", traceback=["no"])),
    (rules.no_errors, output("stream", name="stderr", text="a warning")),
    (
        rules.no_missing_results,
        output("stream", name="stdout", text="20 of 20\nmaps.json is missing: `bench maps` writes it\n"),
    ),
    (rules.no_widget_state, lambda nb: nb.metadata.update(widgets={})),
    (rules.no_widget_state, output("display_data", {WIDGET_VIEW: {"model_id": "a"}})),
    (rules.no_machine_traces, output("stream", name="stdout", text="/home/someone/data")),
    (rules.no_machine_traces, output("execute_result", {"text/html": "<p>/tmp/x</p>"}, execution_count=1)),
    (rules.no_machine_traces, output("display_data", {"text/plain": "<object object at 0x7f3a5c0e1d50>"})),
    (rules.no_machine_traces, output("display_data", {"application/json": {"file": "C:\\Users\\me\\x"}})),
    (rules.no_machine_traces, code("open('/home/x')\nx")),
    (rules.no_machine_traces, text("Look into /Users/me/course.")),
    (rules.images_have_alt_text, image("image/png")),
    (rules.images_have_alt_text, image("image/jpeg", **{"image/jpeg": {"alt": "reaches no reader"}})),
    (rules.images_have_alt_text, image("image/svg+xml")),
    (rules.images_have_alt_text, text("![](cat.png)")),
    (rules.images_have_alt_text, text("<img src='cat.png'>")),
    (rules.images_have_alt_text, text('<img src="cat.png" alt="">')),
    (rules.images_have_alt_text, output("display_data", {"text/html": "<img src='data:,'>"})),
    (rules.opening, opening("# 05", "05")),
    (rules.opening, opening("You will be able to", "Objectives")),
    (rules.opening, opening("- say where it fails\n", "")),
    (rules.opening, opening("- say where it fails\n", "- a\n- b\n- c\n- d\n")),
    (rules.opening, opening(", 30 minutes for the exercises", "")),
    (rules.opening, opening("**Time:**", "Time:")),
    (rules.opening, opening("**Lecture passage:**", "Lecture:")),
    (rules.opening, opening("**Runs on:**", "Runs on:")),
    (rules.opening, lambda nb: nb.cells.pop(0)),
    (rules.recap, lambda nb: nb.cells.pop()),
    (rules.recap, lambda nb: nb.cells[-1].update(source=RECAP.replace("## Recap", "## The end"))),
    (rules.recap, lambda nb: nb.cells[-1].update(source=RECAP.replace("into a box", "into pixels"))),
    (rules.sections, lambda nb: nb.cells[4].update(source="Now some questions.")),
    (rules.sections, lambda nb: nb.cells.pop(4)),
    (rules.short_cells, code("\n".join(["x"] * 25))),
    (rules.short_cells, lambda nb: [cell.update(source="x") for cell in nb.cells[5:]]),
    (rules.short_cells, lambda nb: [cell.update(source="\n".join(["x"] * 12)) for cell in nb.cells[5:]]),
    (rules.links, text("[](https://arxiv.org)")),
    (rules.links, text("[the paper]()")),
    (rules.links, text("[the paper](http://arxiv.org)")),
    (rules.links, text("[the paper](https://arxiv)")),
    (rules.links, text("[the paper](https://arxiv.org/a b)")),
    (rules.links, text("[the file](/data/x.csv)")),
    (rules.links, text("[mail](mailto:a@b.org)")),
]


def test_a_good_notebook_breaks_no_rule():
    assert complaints(good(), OUTPUT_RULES + TEXT_RULES) == []
    assert objectives(good()) == ["compute a *map* of classes", "turn it into a `box`", "say where it fails"]


@pytest.mark.parametrize(
    ("rule", "spoil"), BAD, ids=[f"{rule.__name__}-{i}" for i, (rule, _) in enumerate(BAD)]
)
def test_a_bad_notebook_breaks_the_rule(rule, spoil):
    notebook = good()
    before = copy.deepcopy(notebook)
    spoil(notebook)
    assert notebook != before
    assert rule(notebook) != []
    assert any(complaint.startswith(f"{rule.__name__}: ") for complaint in complaints(notebook, (rule,)))


def test_every_rule_has_a_bad_example():
    assert {rule for rule, _ in BAD} == set(OUTPUT_RULES + TEXT_RULES)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/page and ../data/home/x",
        "a colour #0072B2 or 0xFF00FF",
        "12/home/3, and/or/tmp",
        "half the pixels/root",
        "see lecturekit/evidence/maps.py and data/annotations",
    ],
)
def test_what_is_no_trace_of_a_machine(text):
    assert machine_traces(text) == []


def test_code_and_formulas_are_no_links():
    notebook = good()
    notebook.cells[2].source = "`maps[0](x)` and $f[1](x)$ and\n```python\na[0](b c)\n```"
    assert rules.links(notebook) == []


def test_the_size_rule_names_the_biggest_cell():
    notebook = good()
    output("stream", name="stdout", text="x" * 500_000)(notebook)
    (complaint,) = rules.size(notebook)
    assert "biggest: cell 1: 500 KB" in complaint
