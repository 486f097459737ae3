"""Modules are joined in the order in which they need each other, and what cannot be joined is named."""

import pytest

from lecturekit.kit.javascript import joined
from lecturekit.kit.storage import ROOT

DOM = "export const one = 1;\n"


@pytest.fixture
def written(tmp_path):
    def write(**modules):
        for name, text in modules.items():
            (tmp_path / f"{name}.js").write_text(text)
        return tmp_path / "main.js"

    return write


def test_what_is_imported_comes_first_and_once(written):
    tools = 'import { one } from "./dom.js";\nexport const two = one + one;\n'
    main = (
        'import {\n  two,\n} from "./tools.js";\nimport { one } from "./dom.js";\nexport default one + two;\n'
    )
    assert joined(written(dom=DOM, tools=tools, main=main)) == (
        "export const one = 1;\n\nexport const two = one + one;\n\nexport default one + two;\n"
    )


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ({"main": 'import * as d from "./dom.js";\n'}, r"main.js: write import .*got 'import \* as d"),
        ({"main": 'import { x } from "https://x.org/a.js";\n'}, "main.js: write import"),
        (
            {"main": 'import { a } from "./a.js";\n', "a": 'import { b } from "./main.js";\n'},
            "circle: main.js -> a.js -> main.js",
        ),
        (
            {"main": 'import { one } from "./dom.js";\nfunction one() {}\n'},
            "one is declared in dom.js and in main.js",
        ),
    ],
    ids=["star", "address", "circle", "twice"],
)
def test_what_cannot_be_joined_is_named(written, modules, words):
    with pytest.raises(ValueError, match=words):
        joined(written(dom=DOM, **modules))


def test_a_module_that_is_missing(written):
    with pytest.raises(FileNotFoundError, match=r"other\.js"):
        joined(written(main='import { x } from "./other.js";\n'))


def test_no_module_of_a_widget_has_more_than_600_lines():
    modules = [*(ROOT / "lecturekit").rglob("*.js")]
    assert len(modules) > 10
    assert {path.name: n for path in modules if (n := len(path.read_text().splitlines())) > 600} == {}
