"""What comes out of a project: report, board, masks in other tools' formats, an exported network."""

import json
import re
import shutil
import sys
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from project_pictures import drawn, folder_of, number, painted
from support import VOC

from lecturekit.datasets.photos import PHOTOS, load_photo, photo
from lecturekit.labels import shapes
from lecturekit.labels.interchange import (
    Labelled,
    read_coco,
    read_voc,
    read_yolo,
    write_coco,
    write_cvat,
    write_labelme,
    write_voc,
    write_yolo,
)
from lecturekit.labs import project
from lecturekit.labs.project import _predict
from lecturekit.labs.project._seen import _reduction
from lecturekit.labs.project._trained import answer
from lecturekit.learning.features import Pictures, features
from lecturekit.plots import PALETTE, label_overlay

pytestmark = pytest.mark.usefixtures("one_thread")


# ------------------------------------------------------------------------------------------------ report


@pytest.fixture(scope="module")
def page(taught, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LECTUREKIT_DATA", str(tmp_path_factory.mktemp("data")))
        return project.report(taught)


def test_the_page_needs_nothing_from_elsewhere(taught, page):
    text = page.read_text("utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert "http" not in re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert text.count("<img alt=") == 7
    for word in ("disc", "square", "interval", "set aside", "Mean IoU"):
        assert word in text


def test_the_small_file_has_numbers_and_no_names(taught, page):
    entry = json.loads(page.with_suffix(".json").read_text())
    low, high = entry["interval"]
    assert 0.5 < low <= entry["mean_iou"] <= high <= 1
    assert (entry["pictures"], entry["test_pictures"], entry["classes"]) == (18, 6, 2)
    labels = sum(len(taught.labels(one)) for one in taught.train)
    assert sum(entry["labels"].values()) == labels
    assert entry["hours"] == pytest.approx(labels * 5 / 3600, abs=1e-4)
    assert set(entry["labels"]) <= set(shapes.KINDS)
    assert "disc" not in page.with_suffix(".json").read_text()


@pytest.mark.usefixtures("own_data")
def test_the_quality_is_that_of_the_masks(taught):
    scores = project.measure(taught)
    right = np.zeros(3)
    either = np.zeros(3)
    for one, said in zip(scores.pictures, scores.answers, strict=True):
        truth = painted(number(one))[1]
        for c in range(3):
            right[c] += ((said == c) & (truth == c)).sum()
            either[c] += ((said == c) | (truth == c)).sum()
    assert scores.iou == pytest.approx((right / either).mean())
    assert len(scores.seeds) == 2
    assert scores.confident[:, 0].sum() == 6 * 48 * 64
    assert 0 <= scores.error < 0.5


@pytest.mark.usefixtures("own_data", "quick")
def test_without_masks_set_aside_there_is_no_number(begun):
    for one in begun.train[:3]:
        begun.save_labels(one, drawn(painted(number(one))[1], "mask"))
    for one in begun.test:
        begun.save_labels(one, [], delete=[label["id"] for label in begun.labels(one)])
    project.train(begun, side=64, device="cpu", progress=False)
    with pytest.raises(ValueError, match="4 of them wait"):
        project.report(begun)


@pytest.mark.usefixtures("own_data", "quick")
def test_the_page_says_what_has_happened_since(begun):
    """Nothing; a label more; a label moved, their number being the same; pictures that are gone."""

    def page():
        return project.report(begun).read_text("utf-8")

    for one in begun.train[:8]:
        begun.save_labels(one, drawn(painted(number(one))[1], "mask"))
    project.train(begun, side=64, device="cpu", progress=False)
    assert "Since this student" not in page()
    assert "cannot be found" not in page()
    begun.save_labels(begun.train[9], drawn(painted(number(begun.train[9]))[1], "box"))
    assert "labels of 1 picture have been drawn or changed" in page()
    first, second = begun.train[0], begun.train[1]
    begun.file(first).rename(begun.folder / "elsewhere.png")
    changed = begun.labels(second)[0]
    begun.save_labels(second, [changed | {"milliseconds": changed["milliseconds"] + 1}])
    text = page()
    assert "labels of 2 pictures have been drawn or changed" in text
    assert "1 picture that it learned from cannot be found" in text
    begun = project.refresh(begun)
    assert "cannot be found" not in page()
    begun.rename_class("disc", "ball")
    assert project.trained(begun).classes == ("background", "ball", "square")
    assert "disc" not in re.sub(r"data:image[^\"]*", "", page())


def test_the_colours_of_the_answers_have_names(page):
    text = page.read_text("utf-8")
    for colour, name in zip(PALETTE[1:], ("disc", "square"), strict=False):
        assert f'style="background:{colour}"></span> {name}' in text


def test_a_board_of_good_and_bad_files(page, tmp_path):
    good = json.loads(page.with_suffix(".json").read_text())
    contents = {
        "a": good,
        "b": good | {"mean_iou": 0.99},
        "c": good | {"mean_iou": 2},
        "d": good | {"labels": {"<script>": 1}},
        "e": good | {"interval": [0.1]},
        "f": [good],
        "g": {},
        "h": good | {"lecturekit_project_report": 2},
        "i": good | {"student": "Someone", "hours": 0.1},
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "j.json").write_text("{")
    (tmp_path / "k.json").write_bytes(b"\xff\xfe")
    board = project.leader_board(tmp_path)
    assert [one["mean_iou"] for one in board.entries][:2] == [0.99, max(good["mean_iou"], 0)]
    assert len(board.entries) == 3
    assert [one.file[0] for one in board.skipped] == list("cdefghjk")
    assert "Someone" not in str(board)
    assert str(board).count("\n") == 4
    with pytest.raises(FileNotFoundError, match="folder"):
        project.leader_board(tmp_path / "none")


# ----------------------------------------------------------------------------------------------- predict


@pytest.fixture
def others(tmp_path):
    folder = folder_of(tmp_path / "others", 6)
    (folder / "sub").mkdir()
    (folder / "00.png").rename(folder / "sub/00.png")
    Image.fromarray(painted(30)[0]).resize((160, 90)).save(folder / "wide.webp")
    Image.fromarray(painted(31)[0]).save(folder / "01.bmp")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def predicted(taught, others, to, out, **options):
    return project.predict(taught, others, to, out, device="cpu", progress=False, **options)


def test_masks_confidence_and_overlays_of_every_size(taught, others, tmp_path):
    made = predicted(taught, others, "png", tmp_path / "out")
    assert made.pictures == 8
    assert [one.file for one in made.skipped] == ["broken.jpg"]
    names = ["01", "01-2", "02", "03", "04", "05", "sub-00", "wide"]
    for kind, ending in (("masks", "png"), ("confidence", "png"), ("overlays", "jpg")):
        assert {p.name for p in (made.folder / kind).iterdir()} == {f"{n}.{ending}" for n in names}
    assert Image.open(made.folder / "masks/wide.png").size == (160, 90)
    mask, truth = np.array(Image.open(made.folder / "masks/02.png")), painted(2)[1]
    assert (mask == truth).mean() > 0.8
    assert np.array(Image.open(made.folder / "confidence/02.png")).max() <= 255
    assert "disc:" in (made.folder / "labelmap.txt").read_text()


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_what_other_tools_read_are_the_masks(taught, others, tmp_path, to):
    out = tmp_path / "out"
    predicted(taught, others, "png", tmp_path / "png", overlays=False, confidence=False)
    predicted(taught, others, to, out, overlays=False, confidence=False)
    if to == "coco":
        pictures, classes = read_coco(out / "instances.json")
        found = {Path(one.file_name).stem: one for one in pictures if one.file_name != "01.bmp"}
        assert {one.file_name for one in pictures} >= {"sub/00.png", "wide.webp"}
        scores = [a["score"] for a in json.loads((out / "instances.json").read_text())["annotations"]]
        assert scores
        assert all(1 / 3 <= score <= 1 for score in scores)
    elif to == "voc":
        pictures, classes = read_voc(out)
        found = {Path(one.file_name).stem: one for one in pictures}
    else:
        sizes = {p.stem: (48, 64) for p in (out / "labels").iterdir()} | {"wide": (90, 160)}
        pictures, classes = read_yolo(out, sizes=sizes)
        found = {Path(one.file_name).stem: one for one in pictures}
    assert classes == ("disc", "square")
    assert len(pictures) == 8
    mask = np.array(Image.open(tmp_path / "png/masks/wide.png"))
    painted_ = shapes.label_map(found["wide"].labels, (90, 160))
    assert ((painted_ == mask) | (painted_ == 0)).all()
    assert (painted_ != mask).mean() < 0.01


def test_it_goes_on_after_a_break(taught, others, tmp_path, monkeypatch):
    out, calls, made = tmp_path / "out", [], _predict.answer_of

    def counted(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return made(*args)

    monkeypatch.setattr(_predict, "answer_of", counted)
    with pytest.raises(KeyboardInterrupt):
        predicted(taught, others, "coco", out)
    with open(out / "answers.jsonl", "a", encoding="utf-8") as log:
        log.write('{"name": "04", "fi')  # killed while writing
    assert predicted(taught, others, "coco", out).pictures == 8
    assert len(calls) == 4 + 5
    assert predicted(taught, others, "coco", out).pictures == 8
    assert len(calls) == 4 + 5
    shutil.copy(others / "02.png", others / "03.png")
    (others / "04.png").unlink()
    assert predicted(taught, others, "coco", out).pictures == 7
    assert len(calls) == 4 + 6
    content = json.loads((out / "instances.json").read_text())
    assert len(content["images"]) == 7
    assert {a["image_id"] for a in content["annotations"]} <= {i["id"] for i in content["images"]}
    assert len({a["id"] for a in content["annotations"]}) == len(content["annotations"])
    predicted(taught, others, "coco", out, overlays=False)
    assert len(calls) == 4 + 6 + 7


@pytest.mark.parametrize("to", ["coco", "voc"])
def test_one_picture_at_a_time_is_in_memory(taught, tmp_path, monkeypatch, to):
    """Of forty pictures, also on going on after a break."""
    names = [f"{k:02}.png" for k in range(40)]
    (tmp_path / "many").mkdir()
    for name in names:
        (tmp_path / "many" / name).write_bytes(b"")
    alive, most, stop = set(), [], 25

    def load(path):
        image = np.full((30, 40, 3), int(Path(path).stem), np.uint8)
        alive.add(id(image))
        weakref.finalize(image, alive.discard, id(image))
        most.append(len(alive))
        if len(most) == stop:
            raise KeyboardInterrupt
        return image

    def answered(network, image, side, device=None):
        return np.full(image.shape[:2], 1, np.uint8), np.ones(image.shape[:2], np.float32)

    monkeypatch.setattr(_predict, "load_photo", load)
    monkeypatch.setattr(_predict, "answer_of", answered)
    with pytest.raises(KeyboardInterrupt):
        predicted(taught, tmp_path / "many", to, tmp_path / "out")
    made = predicted(taught, tmp_path / "many", to, tmp_path / "out")
    assert (made.pictures, len(most)) == (40, 41)
    assert max(most) <= 2


def test_no_folder_no_pictures_no_format(taught, others, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder must be"):
        predicted(taught, tmp_path / "none", "png", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="got none"):
        predicted(taught, tmp_path / "empty", "png", tmp_path / "out")
    with pytest.raises(ValueError, match="to must be"):
        predicted(taught, others, "tiff", tmp_path / "out")


def test_answers_inside_the_folder_are_no_pictures(taught, others):
    for name in ("out", "out", "again"):
        assert predicted(taught, others, "png", others / name).pictures == 8
    assert len(project.new(others, ["disc"], test=0).pictures) == 8


def test_overlays_are_those_of_the_plots():
    image, mask = painted(2)
    mask[:5] = 9
    assert np.abs(_predict._overlay(image, mask).astype(int) - label_overlay(image, mask)).max() <= 1


def test_the_fused_network_says_what_the_students_say(taught):
    found = project.trained(taught)
    images = [painted(k)[0] for k in (40, 41)] + [np.tile(painted(42)[0], (3, 2, 1))]
    seen = features(images, like=_reduction(taught, 64, torch.device("cpu")), device="cpu", cache=False)
    network = found.network("cpu")
    for image, expected in zip(images, found.probabilities(seen), strict=True):
        labels, confidence = _predict.answer_of(network, image, found.side)
        assert (labels == expected.argmax(0)).mean() > 0.99
        assert np.abs(confidence - expected.max(0)).mean() < 0.05


def test_pieces_of_a_class_are_objects():
    labels = np.zeros((30, 50), np.uint8)
    labels[2:9, 3:12] = 1
    labels[20:30, 40:50] = 1
    labels[0:4, 0:2] = 2
    found = _predict.objects(labels, np.full((30, 50), 0.5, np.float32))
    assert [score for _, score in found] == [0.5] * 3
    total = np.zeros((30, 50), np.uint8)
    for label, _ in found:
        total[shapes.rasterise(shapes.checked(label, (30, 50), 2), (30, 50))] = label["class_index"]
    assert (total == labels).all()
    assert _predict.objects(np.zeros((4, 4), np.uint8), np.ones((4, 4), np.float32)) == []


# ------------------------------------------------------------------------------------------------ export


def torchscript(project_, path):
    """The file as a function, and the names of the classes in it."""
    files = {"classes.json": ""}
    file = str(project.export(project_, path / "student.pt"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", FutureWarning)
        network = torch.jit.load(file, _extra_files=files)
    return lambda image: network(torch.from_numpy(image.copy())), json.loads(files["classes.json"])


def onnx(project_, path):
    """The same, by another program's arithmetic."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    file = str(project.export(project_, path / "student.onnx"))
    session = onnxruntime.InferenceSession(file, options)
    names = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    return lambda image: torch.from_numpy(session.run(None, {"image": image})[0]), names


@pytest.fixture(scope="module", params=[torchscript, onnx])
def exported(request, taught, tmp_path_factory):
    return request.param(taught, tmp_path_factory.mktemp("exported"))


def compare(taught, exported, image, limit=1e-3):
    found, (theirs, _) = project.trained(taught), exported
    size = (image.shape[0], image.shape[1])
    with torch.inference_mode():
        logits = found.network("cpu")(Pictures([image], found.side).batch([0]))[0]
        ours, said = answer(logits, size), theirs(image)
    assert said.shape == (3, *size)
    assert (ours - said).abs().max() < limit


@pytest.mark.parametrize("name", PHOTOS)
def test_the_exported_network_says_the_same_of_pictures_of_any_size(taught, exported, name):
    whole = photo(name)
    for image in (whole, whole[:333, :61], whole[100:165, 90:154], whole[90:130, 100:150]):
        # an image that is enlarged is rounded to whole grey values by other rules
        compare(taught, exported, image, 1e-3 if max(image.shape) > 100 else 1e-2)


def test_the_exported_network_says_the_same_of_ten_photographs(taught, exported):
    if not VOC.is_dir():
        pytest.skip(f"no photographs in {VOC}")
    files = sorted((VOC / "JPEGImages").glob("*.jpg"))
    for path in files[:: len(files) // 10][:10]:
        compare(taught, exported, load_photo(path))


def test_the_exported_file_names_the_classes(exported):
    assert exported[1] == ["background", "disc", "square"]


def test_sides_that_are_rounded_up_to_whole_cells_are_the_same(taught, exported):
    """65 pixels become 64, and the other side grows from 61 to 64."""
    compare(taught, exported, photo("coffee")[:65, :61])


def test_the_format_is_named_or_told_by_the_ending(taught, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in one of \.pt, .*\.onnx, .* got .*student\.keras"):
        project.export(taught, tmp_path / "student.keras")
    with pytest.raises(ValueError, match="to must be"):
        project.export(taught, tmp_path / "student.pt", "keras")
    assert not list(tmp_path.iterdir())
    named = project.export(taught, tmp_path / "student", "onnx")
    assert named.read_bytes() == project.export(taught, tmp_path / "student.onnx").read_bytes()


def test_without_onnx_the_extra_is_named(taught, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"lecturekit\[export\]"):
        project.export(taught, tmp_path / "student.onnx")


# ------------------------------------------------------------------------------------------------ import


@pytest.mark.parametrize("tool", ["coco", "voc", "yolo", "cvat", "labelme"])
def test_labels_of_other_tools_come_in_once(begun, tmp_path, tool):
    box = {
        "id": "x",
        "kind": "box",
        "class_index": 2,
        "points": [[3.0, 4.0], [20.0, 30.0]],
        "milliseconds": 0,
    }
    known = begun.train[0]
    pictures = [
        Labelled(f"elsewhere/{known.file}", known.size, (box,)),
        Labelled(begun.train[1].file, (10, 60), (box | {"points": [[1.0, 1.0], [5.0, 5.0]]},)),
        Labelled("unknown.png", known.size, (box,)),
        Labelled(begun.train[2].file, known.size, (box | {"class_index": 1},)),
    ]
    classes = ["cow", "SQUARE"]
    path = tmp_path / "theirs"
    if tool in ("coco", "cvat"):
        path = path.with_suffix(".json" if tool == "coco" else ".xml")
    writers = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo, "cvat": write_cvat}
    writers.get(tool, write_labelme)(path, pictures, classes)
    made = project.import_labels(begun, path, tool)
    count = 2 if tool == "yolo" else 1  # YOLO tells no sizes: those of the pictures count
    assert (made.labels, made.pictures) == (count, count)
    assert [one["points"] for one in begun.labels(known)] == [box["points"]]
    assert begun.labels(known)[0]["class_index"] == 2
    reasons = str(made)
    if tool == "yolo":
        assert "unknown" in reasons
    else:
        assert "its size is" in reasons
        assert "no picture of the project" in reasons
    assert "no class 'cow'" in reasons
    project.import_labels(begun, path, tool)
    assert len(begun.labels(known)) == 1


def test_a_file_that_is_none(begun, tmp_path):
    with pytest.raises(FileNotFoundError, match="path must be"):
        project.import_labels(begun, tmp_path / "none", "coco")
    with pytest.raises(ValueError, match="format_ must be"):
        project.import_labels(begun, tmp_path, "excel")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ValueError, match=r"annotations|images"):
        project.import_labels(begun, tmp_path / "x.json", "coco")


def test_what_is_left_out_for_one_reason_takes_one_line():
    skipped = [project.Skipped(f"{k}.jpg", "no such picture") for k in range(500)]
    made = project.Imported(3, 2, (*skipped, project.Skipped("x.jpg", "no class 'cow'")))
    assert str(made).splitlines() == [
        "3 labels on 2 pictures, 501 entries left out",
        "  0.jpg, 1.jpg, 2.jpg and 497 more: no such picture",
        "  x.jpg: no class 'cow'",
    ]
