import contextlib
import os
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lecturekit.labels import label_file
from lecturekit.labs import project
from lecturekit.labs.project import Skipped
from lecturekit.widgets.annotator import Annotator

BOX = {"id": "b", "kind": "box", "class_index": 1, "points": [[1.0, 1.0], [5.0, 4.0]], "milliseconds": 900}
TAG = {"id": "t", "kind": "image_class", "class_index": 2, "points": [], "milliseconds": 500}


def paint(path, k, size=(12, 9), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(k).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for k in range(9):
        paint(tmp_path / f"photos/{k}.png", k)
    return tmp_path / "photos"


@pytest.fixture
def made(folder):
    return project.new(folder, ["cat", "dog"], test=3)


def test_all_formats_sizes_and_directions_and_nothing_else(tmp_path):
    for k, name in enumerate(("a.jpg", "b.png", "c.webp", "d.bmp", "e.tiff", "f.gif", "sub/g.JPG")):
        paint(tmp_path / name, k, (k + 1, 30))
    turned = Image.Exif()
    turned[0x0112] = 6
    paint(tmp_path / "h.jpg", 9, (20, 10), exif=turned)
    Image.new("LA", (3, 3)).save(tmp_path / "i.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    shutil.copy(tmp_path / "b.png", tmp_path / "z copy.png")
    Image.open(tmp_path / "b.png").save(tmp_path / "same pixels.bmp")
    made = project.new(tmp_path, ["cat"])
    assert {p.file: p.size for p in made.pictures if p.file in ("sub/g.JPG", "h.jpg")} == {
        "sub/g.JPG": (30, 7),
        "h.jpg": (20, 10),
    }
    assert len(made.pictures) == 9
    assert [s.file for s in made.skipped] == ["broken.png", "empty.jpg", "same pixels.bmp", "z copy.png"]
    assert made.skipped[-1] == Skipped("z copy.png", "the same picture as b.png")
    assert made.image("h.jpg").shape == (20, 10, 3)


def test_the_split_depends_on_contents_and_seed_alone(folder, tmp_path, made):
    assert (len(made.train), len(made.test)) == (6, 3)
    other = tmp_path / "elsewhere"
    for k in range(9):
        paint(other / f"renamed {9 - k}.bmp", k)
    again = project.new(other, ["x"], test=3)
    assert {p.content for p in again.test} == {p.content for p in made.test}
    another = project.new(other, ["x"], test=3, seed=1, path=tmp_path / "second")
    assert {p.content for p in another.test} != {p.content for p in made.test}
    assert another.path == tmp_path / "second/project.yaml"


def test_what_is_written_is_what_is_read(made):
    assert project.load(made.path) == made
    assert project.load(made.folder) == made
    text = made.path.read_text("utf-8")
    assert "- {file: 0.png, part: " in text
    assert yaml.safe_load(text)["folder"] == "."


def test_pictures_are_not_copied_and_the_folder_can_move(made, tmp_path):
    one = made.train[0]
    made.save_labels(one, [BOX])
    moved = tmp_path / "moved"
    made.folder.rename(moved)
    assert {p.suffix for p in moved.rglob("[!.]*.*")} == {".json", ".png", ".yaml"}
    again = project.load(moved)
    assert again.labels(one.file) == [BOX]


def test_a_second_project_in_the_same_place_is_refused(made):
    with pytest.raises(FileExistsError, match="already"):
        project.new(made.folder, ["cat"])


@pytest.mark.parametrize("classes", [[], ["cat", "cat"], ["background"], [""], [3], "cat\n"])
def test_classes_must_be_names(folder, classes):
    with pytest.raises(ValueError, match="class"):
        project.new(folder, classes)


def test_no_folder_and_no_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder must be"):
        project.new(tmp_path / "none", ["cat"])
    with pytest.raises(ValueError, match="none that can be read"):
        project.new(tmp_path, ["cat"])
    with pytest.raises(FileNotFoundError, match=r"project\.new"):
        project.load(tmp_path)


def test_folders_change(made):
    labelled = made.train[0]
    made.save_labels(labelled, [BOX])
    gone, renamed, replaced = made.train[1], made.train[2], made.train[3]
    made.save_labels(renamed, [TAG])
    made.save_labels(replaced, [BOX, TAG])
    (made.folder / gone.file).unlink()
    (made.folder / renamed.file).rename(made.folder / "new name.png")
    paint(made.folder / replaced.file, 99)
    paint(made.folder / "more/new.png", 100)
    assert [p.file for p in made.gone] == [gone.file, renamed.file]
    with pytest.raises(ValueError, match=r"has changed .* refresh"):
        made.image(replaced)
    with pytest.raises(FileNotFoundError):
        made.image(gone)
    now = project.refresh(made)
    assert {p.content for p in now.test} == {p.content for p in made.test}
    assert now.labels(labelled) == [BOX]
    assert now.labels("new name.png") == [TAG]
    assert now.labels(replaced.file) == []
    assert now.picture("more/new.png").part == now.picture(replaced.file).part == "train"
    lost = {p.content: p for p in now.gone}
    assert set(lost) == {gone.content, replaced.content}
    assert now.labels(lost[replaced.content]) == [BOX, TAG]
    assert project.refresh(now) == now == project.load(made.path)
    (made.folder / lost[replaced.content].file).unlink(missing_ok=True)
    shutil.rmtree(made.folder / "more")
    assert len(project.refresh(now).gone) == 3


def test_labels_are_added_changed_and_deleted_by_name_only(made):
    one = made.train[0]
    assert made.labels(one) == []
    made.save_labels(one, [BOX])
    made.save_labels(one, [TAG])
    assert made.labels(one) == [BOX, TAG]
    changed = BOX | {"class_index": 3}
    assert made.save_labels(one, [changed], delete=["t", "never was"]) == [changed]
    with pytest.raises(ValueError, match="class_index"):
        made.save_labels(one, [BOX | {"class_index": 4}])
    assert project.load(made.path).labels(one.file) == [changed]


def test_the_annotator_shares_the_file(made):
    one = made.train[0]
    annotator = Annotator(made.image(one), made.label_classes, made.label_file(one))
    annotator.labels = [BOX]
    made.save_labels(one, [TAG])
    assert made.labels(one) == [BOX, TAG]
    annotator.labels = []
    assert made.labels(one) == [TAG]
    assert annotator.labels == [TAG]
    with pytest.raises(ValueError, match="key must be a file for this picture"):
        Annotator(made.image(one), ["cat"], made.label_file(one))


def test_a_renamed_class_keeps_its_labels(made):
    one, two = made.train[:2]
    made.save_labels(one, [BOX])
    stale = project.load(made.path)
    made.rename_class("cat", "lion")
    assert (made.classes, made.labels(one)) == (("lion", "dog"), [BOX])
    made.rename_class("lion", "cat")
    made.rename_class("cat", "tiger")
    now = project.load(made.path)
    assert (now.classes, now.labels(one)) == (("tiger", "dog"), [BOX])
    now.save_labels(one, [TAG])
    now.save_labels(two, [TAG])
    with pytest.raises(ValueError, match="other classes"):
        stale.save_labels(two, [BOX])
    assert now.labels(two) == [TAG]
    for old, new in (
        ("cow", "cat"),
        ("dog", "tiger"),
        ("dog", ""),
        ("background", "x"),
        ("dog", "background"),
    ):
        with pytest.raises(ValueError, match=r"old|class"):
            made.rename_class(old, new)


def test_a_class_added_by_hand(made):
    one = made.train[0]
    made.save_labels(one, [BOX | {"class_index": 3}])
    text = made.path.read_text("utf-8")
    made.path.write_text(text.replace("[cat, dog, background]", "[cat, dog, background, bird]"), "utf-8")
    now = project.load(made.path)
    assert now.classes == ("cat", "dog", "bird")
    now.save_labels(one, [BOX | {"id": "n", "class_index": 4}])
    assert [now.label_classes[label["class_index"] - 1] for label in now.labels(one)] == [
        "background",
        "bird",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "version 1, got None"),
        ("[1", "no sound YAML"),
        ("version: 2", "update the course"),
        ("version: one", "version 1, got 'one'"),
        ("version: 1", "folder|classes"),
        ("version: 1\nfolder: .\nclasses: [no, background]", "names"),
        ("version: 1\nfolder: .\nclasses: [cat]", "background among them"),
        ("version: 1\nfolder: 3\nclasses: [cat, background]", "folder must be"),
        ("version: 1\nfolder: .\nclasses: [cat, background]\npictures: [a.png]", "not in order"),
        ("version: 1\nfolder: .\nclasses: [cat, background]\npictures: [{file: a.png}]", "content"),
        ("!!python/object/apply:os.system [ls]", "no sound YAML"),
        ("\xff\xfe", "no sound YAML|version"),
    ],
)
def test_files_that_are_not_in_order(made, text, wanted):
    made.path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=wanted):
        project.load(made.path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("p")
    paint(folder / "a.png", 1)
    made = project.new(folder, ["cat"])
    text = made.path.read_text("utf-8")
    at = data.draw(st.integers(0, len(text) - 1))
    made.path.write_text(
        text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 9)) :]
    )
    with contextlib.suppress(ValueError):
        assert project.load(folder).classes


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1), min_size=1
    )
)
def test_any_printable_names_of_classes_come_back(tmp_path_factory, names):
    names = list(dict.fromkeys(n.strip()[:100].strip() for n in names))
    names = [n for n in names if n and n.isprintable() and n != "background"]
    if names:
        folder = tmp_path_factory.mktemp("p")
        paint(folder / "a.png", 1)
        assert project.new(folder, names).classes == project.load(folder).classes == tuple(names)


def test_damaged_labels_are_set_aside_and_the_others_kept(made):
    one = made.train[0]
    made.save_labels(one, [BOX])
    path = made.label_file(one).path
    path.write_text(path.read_text()[:-20])
    with pytest.warns(UserWarning, match="could not be read"):
        assert made.labels(one) == []
    assert len(list(path.parent.glob("*damaged*"))) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_folder_that_cannot_be_written(made):
    made.folder.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            made.rename_class("cat", "lion")
    finally:
        made.folder.chmod(0o700)


def test_labels_of_two_writers_at_once_all_survive(made):
    one = made.train[0]
    file = made.label_file(one)
    a = label_file.edits([], [BOX], [], "a")
    b = label_file.edits([], [TAG], [], "b")
    file.save(a)
    assert [r["id"] for r in file.save(b)[0]] == ["b", "t"]


@pytest.mark.parametrize("number", [0, 4, 99])
def test_a_class_that_is_none_is_refused_before_anything_is_written(made, number):
    file = made.label_file(made.train[0])
    file.save(label_file.edits([], [BOX], [], "a"))
    before = file.path.read_bytes()
    wrong = label_file.edits([], [TAG, BOX | {"id": "x", "class_index": number}], [], "b")
    words = rf"class_index of label 'x' must be one of 1 cat, 2 dog, 3 background, got {number}"
    with pytest.raises(ValueError, match=words):
        file.save(wrong)
    assert file.path.read_bytes() == before
    assert file.load() == (label_file.edits([], [BOX], [], "a"), "")
    with pytest.raises(ValueError, match="x must be a number"):
        file.save(label_file.edits([], [BOX | {"id": "y", "points": [[1, 1], [99, 4]]}], [], "b"))
    assert [p.name for p in file.path.parent.iterdir() if "damaged" in p.name] == []


def test_an_annotator_that_is_refused_still_holds_what_was_drawn(made, monkeypatch):
    one = made.train[0]
    annotator = Annotator(made.image(one), made.label_classes, made.label_file(one))
    with monkeypatch.context() as patch:
        patch.setattr(label_file, "checked_record", lambda *_: (_ for _ in ()).throw(ValueError("refused")))
        annotator.labels = [BOX]
    assert "could not be saved (refused)" in annotator._note
    assert [label["id"] for label in annotator.labels] == ["b"]
    annotator.labels = [*annotator.labels, TAG]
    assert [label["id"] for label in made.labels(one)] == ["b", "t"]
