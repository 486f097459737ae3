"""What a class hands in: read whatever lies there, shown without anybody's name."""

import json
import re

import pytest

from lecturekit.exercises import exercises_in, modules
from lecturekit.exercises.quiz import quizzes_in
from lecturekit.labs import stopwatch
from lecturekit.publish import collect

NAMES = ["Ada Unmistakable_123", "Ben Particular_124", "Cleo Singular_125", "Dan Unique_126"]
FIRST = exercises_in(modules()[0])[0]
QUESTION = quizzes_in(modules()[0])[0].questions[0].text


def row(quality, label="boxes"):
    return {"chapter": "07_x", "label": label, "seconds": 7, "quality": quality, "measure": "mean IoU"}


def measures(person):
    return tuple(
        stopwatch.Measure(kind, picture, 2.0 + person + picture, 0.5, 0.9)
        for kind in stopwatch.KINDS
        for picture in range(3)
    )


@pytest.fixture
def folder(tmp_path):
    """Four people's folders, as a learning platform packs them, and what does not belong there."""
    for i, name in enumerate(NAMES):
        home = tmp_path / name
        home.mkdir()
        stopwatch.write_record(stopwatch.Record(f"{i:016x}", measures(i)), home)
        own = [row(0.3 + i / 10), row(0.9, label=f"label of {name}")]
        write(home / "ladder.json", {"version": 1, "rows": [*own, {"bad": 1}]})
        word = "Correct" if i else "Not right yet"
        results = {"exercises": {FIRST.name: word, name: "Correct"}, "questions": {QUESTION: i > 1}}
        write(home / "exercises.json", results)
        write(
            home / "report.json", {"lecturekit_project_report": 1, "mean_iou": 0.5, "hours": 4 + i, "x": name}
        )
    (tmp_path / "broken.json").write_text('{"rows": [', encoding="utf-8")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    (tmp_path / "other.json").write_text('{"a": 1}', encoding="utf-8")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00{")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "copy.json").write_bytes((tmp_path / NAMES[0] / "ladder.json").read_bytes())
    return tmp_path


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def test_everything_that_can_be_read_is(folder):
    found = collect.collect(folder)
    assert [len(x) for x in (found.records, found.ladders, found.results, found.projects)] == [4] * 4
    bad = {name for name in found.refused if "/" not in name}
    assert len(found.refused) == 7
    # of two files of the same contents one is used, whichever comes first
    assert bad >= {"broken.json", "list.json", "deep.json", "other.json", "bytes.json", "folder.json"}
    assert "not used: broken.json" in str(found)


def test_the_page_names_nobody(folder):
    text = collect.page(collect.collect(folder))
    for name in NAMES:
        assert name.split()[0] not in text
        assert re.split(r"[ _]", name)[1] not in text
    for i in range(len(NAMES)):
        assert f"{i:016x}" not in text
    assert ".json" not in text
    assert "7 files could not be used" in text


def test_the_page_counts_right(folder):
    text = collect.page(collect.collect(folder))
    solved = re.search(rf"<td>{re.escape(FIRST.title)}</td><td>(\d)</td><td>(\d)</td>", text)
    assert solved.groups() == ("3", "1")
    assert re.search(r"in this course\?</td><td>2 of 4</td>", text)
    # qualities .3 .4 .5 .6: half below .45
    assert re.search(
        r"boxes \(07_x\), mean IoU</th><td>4</td><td>0.375</td><td>0.45</td><td>0.525</td>", text
    )
    assert re.search(r"hours of annotation</th><td>4</td><td>4.75</td><td>5.5</td>", text)


def test_few_people_are_not_shown(folder):
    for name in NAMES[2:]:
        for path in (folder / name).iterdir():
            path.unlink()
    text = collect.page(collect.collect(folder))
    assert text.count("Handed in by 2; shown from 3 people on.") == 5
    assert "<svg" not in text


def test_a_person_counts_once(folder):
    record = stopwatch.read_record(next((folder / NAMES[1]).glob("stopwatch-*.json")))
    fewer = stopwatch.Record(record.who, record.measures[:3])
    (folder / "again").mkdir()
    stopwatch.write_record(fewer, folder / "again")
    found = collect.collect(folder)
    assert len(found.records) == 4
    assert len(found.records[record.who].measures) == len(record.measures)


def test_simulated_people_are_refused(tmp_path):
    stopwatch.write_record(stopwatch.Record("0" * 16, measures(0), simulated=True), tmp_path)
    assert list(collect.collect(tmp_path).refused.values()) == ["its labels are simulated"]


def test_no_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder must be one with the files of a class"):
        collect.collect(tmp_path / "missing")


def test_the_page_is_one_file(folder, tmp_path):
    collect.write(folder, tmp_path / "out" / "class.html")
    text = (tmp_path / "out" / "class.html").read_text("utf-8")
    assert not re.search(r"https?://|<script|<link|<img", text)
    assert text.count("<table") == text.count("</table>") > 4
