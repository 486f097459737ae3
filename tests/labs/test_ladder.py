"""The reader's own ladder: rows, the file under them, and the table."""

import json
import math
import re
import subprocess
import sys
from subprocess import PIPE

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lecturekit.kit.storage import ROOT
from lecturekit.labs import ladder
from lecturekit.labs.ladder import Row

A = Row("05_class_activation_maps", "image class", 20.0, 0.6, "grid pointing", "the lecture")
B = Row("07_boxes_to_pixels", "box", 42.4, 0.55, "mean IoU", "a < b & c")
C = Row("00_start_here", "nothing", 0.0, 0.5, "grid pointing")


pytestmark = pytest.mark.usefixtures("own_folder")


def put(*rows):
    for row in rows:
        ladder.add(row.chapter, row.label, row.seconds, row.quality, row.measure, row.note)


def test_rows_come_back_by_chapter():
    put(B, A, C)
    assert list(ladder.table()) == [C, A, B]
    assert ladder.path().read_text().count('"chapter"') == 3


def test_same_chapter_and_label_replace_their_row():
    put(A, B)
    ladder.add(A.chapter, A.label, 10, 0.7, "pointing game")
    assert list(ladder.table()) == [Row(A.chapter, A.label, 10.0, 0.7, "pointing game"), B]


def test_running_a_notebook_again_changes_nothing():
    put(A, B)
    before = ladder.path().read_bytes()
    put(A, B)
    assert ladder.path().read_bytes() == before


def test_remove_takes_a_chapter_or_one_of_its_labels():
    put(A, B, Row(A.chapter, "click", 2.4, 0.5, "mean IoU"))
    ladder.remove(A.chapter, "click")
    assert list(ladder.table()) == [A, B]
    ladder.remove(A.chapter)
    assert list(ladder.table()) == [B]
    ladder.remove("no such chapter")
    assert list(ladder.table()) == [B]


@pytest.mark.parametrize("number", [np.float32(0.5), torch.tensor(0.5), np.array(0.5), 0.5])
def test_numbers_of_every_library_are_taken(number):
    row = ladder.add("c", "l", number, number, "m")
    assert type(row.seconds) is type(row.quality) is float
    assert list(ladder.table()) == [row]


BAD = [
    ("seconds", -1, ValueError),
    ("seconds", math.nan, ValueError),
    ("seconds", math.inf, ValueError),
    ("seconds", "20", TypeError),
    ("seconds", True, TypeError),
    ("seconds", None, TypeError),
    ("seconds", torch.ones(2), TypeError),
    ("quality", -0.01, ValueError),
    ("quality", 1.01, ValueError),
    ("quality", 57.0, ValueError),
    ("quality", math.nan, ValueError),
    ("quality", 1 + 0j, TypeError),
    ("chapter", "", ValueError),
    ("label", "  ", ValueError),
    ("measure", None, ValueError),
    ("note", 3, TypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), BAD)
def test_bad_value_is_refused_by_name_and_the_file_stands(name, value, error):
    put(A)
    before = ladder.path().read_bytes()
    fields = {"chapter": "c", "label": "l", "seconds": 1, "quality": 0.5, "measure": "m", "note": ""}
    with pytest.raises(error, match=name):
        ladder.add(**(fields | {name: value}))
    assert ladder.path().read_bytes() == before


rows = st.builds(
    Row,
    chapter=st.sampled_from(["00_a", "01_b", "10_c"]),
    label=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip),
    seconds=st.floats(0, 1e6),
    quality=st.floats(0, 1),
    measure=st.sampled_from(["mean IoU", "pointing game"]),
    note=st.text(st.characters(codec="utf-8"), max_size=8),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=4))
def test_any_rows_survive_a_restart(added):
    ladder.path().unlink(missing_ok=True)
    put(*added)
    kept = {(r.chapter, r.label): r for r in added}
    assert {(r.chapter, r.label): r for r in ladder.table()} == kept


def test_half_written_file_is_kept_aside_and_told():
    put(A, B)
    half = ladder.path().read_bytes()[:100]
    ladder.path().write_bytes(half)
    with pytest.warns(
        UserWarning, match=r"ladder.json could not be read and is kept as ladder.damaged-1.json"
    ):
        assert list(ladder.table()) == []
    assert ladder.path().with_name("ladder.damaged-1.json").read_bytes() == half
    put(C)
    assert list(ladder.table()) == [C]


@pytest.mark.parametrize("content", ["[]", "3", '{"rows": 3}', '{"version": 1}'])
def test_other_json_is_set_aside(content):
    ladder.path().write_text(content)
    with pytest.warns(UserWarning, match="damaged-1"):
        put(A)
    assert list(ladder.table()) == [A]
    assert ladder.path().with_name("ladder.damaged-1.json").read_text() == content


BAD_ROWS = {
    "400 digits": b'"seconds": ' + b"9" * 400,
    "5000 digits": b'"seconds": ' + b"9" * 5000,
    "beyond floats": b'"seconds": 1e999',
    "too much for a plot": b'"seconds": 1e300',
    "NaN": b'"quality": NaN',
    "lone surrogate": b'"label": "\\ud800"',
    "lone surrogate in a note": b'"note": "\\udfff"',
    "no UTF-8": b'"measure": "\xff\xfe"',
    "a list": b'"chapter": [1]',
    "deep": b'"note": ' + b"[" * 500 + b"]" * 500,
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_one_bad_row_never_blocks_the_ladder(name):
    put(A, B)
    text = ladder.path().read_bytes()
    bad = b'{"chapter": "c", "label": "l", "seconds": 1, "quality": 0.5, "measure": "m", "note": "", '
    ladder.path().write_bytes(text.replace(b'"rows": [', b'"rows": [' + bad + BAD_ROWS[name] + b"},", 1))
    with pytest.warns(UserWarning, match="damaged-1"):
        assert list(ladder.table()) == [A, B]
    put(C)
    assert list(ladder.table()) == [C, A, B]


@pytest.mark.parametrize(
    "row", [("c", "\ud800", 1, 0.5, "m"), ("c", "l", 10**400, 0.5, "m"), ("c", "l", 1e10, 0.5, "m")]
)
def test_a_row_that_could_not_be_kept_is_refused_at_once(row):
    put(A)
    with pytest.raises(ValueError, match=r"label|seconds") as caught:
        ladder.add(*row)
    assert len(str(caught.value)) < 200
    assert list(ladder.table()) == [A]


def test_words_come_back_and_are_shown_as_they_are():
    row = Row("c", "$\\no{formula$", 5, 0.5, "<b>&")
    put(row)
    assert list(ladder.table()) == [row]
    assert "$\\no{formula$" in repr(ladder.table())
    shown = ladder.table()._repr_html_()
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>" not in shown


def test_a_ladder_that_cannot_be_written_is_read(monkeypatch):
    put(A, B)
    text = ladder.path().read_text().replace('"quality": 0.6', '"quality": 6')
    ladder.path().write_text(text)

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ladder.records.FileLock, "acquire", refused)
    assert list(ladder.table()) == [B]
    assert ladder.path().read_text() == text
    with pytest.raises(PermissionError):
        put(C)


def test_sound_rows_of_a_damaged_file_are_saved():
    put(A, B)
    content = json.loads(ladder.path().read_text())
    content["rows"] += [{"chapter": "x"}, 3, None, content["rows"][0] | {"label": "l", "quality": 7}]
    ladder.path().write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="damaged-1"):
        assert list(ladder.table()) == [A, B]
    assert list(ladder.table()) == [A, B]  # without another warning, which pytest would raise
    assert json.loads(ladder.path().with_name("ladder.damaged-1.json").read_text()) == content


def test_fields_of_later_versions_do_no_harm():
    put(A)
    content = json.loads(ladder.path().read_text())
    content["rows"][0]["seed"] = 3
    ladder.path().write_text(json.dumps(content))
    assert list(ladder.table()) == [A]


def test_failed_write_leaves_the_old_ladder(monkeypatch):
    put(A)

    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr("os.replace", full)
        with pytest.raises(OSError, match="disk full"):
            put(B)
    assert list(ladder.table()) == [A]


ADD_MANY = """
from lecturekit.labs import ladder
import sys
print("ready", flush=True)
sys.stdin.readline()
for k in range(15):
    ladder.add(sys.argv[1], f"label {k}", k, k / 15, "m")
"""


def test_notebooks_at_once_lose_no_row():
    other = subprocess.Popen([sys.executable, "-c", ADD_MANY, "1"], stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert other.stdout.readline().strip() == b"ready"
    other.stdin.write(b"go\n")
    other.stdin.flush()
    put(*(Row("0", f"label {k}", k, k / 15, "m") for k in range(15)))
    other.communicate()
    assert other.returncode == 0
    assert len(ladder.table()) == 30


# ---------------------------------------------------------------- the table


def test_table_as_text_and_html():
    put(A, B)
    lines = repr(ladder.table()).splitlines()
    assert re.split(r"\s{2,}", lines[0]) == [
        "Chapter",
        "Label",
        "Seconds a picture",
        "Quality",
        "Measured by",
        "Note",
    ]
    assert re.split(r"\s{2,}", lines[2]) == [B.chapter, "box", "42.4", "0.550", "mean IoU", "a < b & c"]
    assert lines[0].index("Label") == lines[1].index("image class") == lines[2].rindex("box")
    page = ladder.table()._repr_html_()
    assert "a &lt; b &amp; c" in page
    assert page.count("<tr>") == 3
    assert page.count('scope="col"') == 6


def test_empty_ladder_says_so_everywhere():
    assert "no rows yet" in repr(ladder.table())
    assert "no rows yet" in ladder.table()._repr_html_()
