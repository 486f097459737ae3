"""What other tools' exports look like in practice, what they see in ours, and what is left out."""

import base64
import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_samples import EVERY_KIND, HEIGHT, NAMES, SIZE, WIDTH, assert_clean, label, pictures, same
from PIL import Image

from lecturekit.kit import files
from lecturekit.labels import shapes
from lecturekit.labels.interchange import (
    Labelled,
    from_coco,
    from_labelme,
    masks,
    read_coco,
    read_cvat,
    read_labelme,
    read_labelme_folder,
    read_masks,
    read_voc,
    read_yolo,
    to_coco,
    to_labelme,
    write_coco,
    write_cvat,
    write_labelme,
    write_masks,
    write_voc,
    write_yolo,
    yolo,
)

BOX = label("box", [(1.0, 2.0), (5.0, 9.0)])
ROUND = [
    label("polygon", [(6.0, 1.0), (14.0, 1.0), (14.0, 10.0)], 2, id="p"),
    label("box", [(0.5, 0.5), (3.0, 3.0)], 3, id="b"),
]
RING = np.zeros(SIZE, bool)
RING[2:9, 3:12] = True
RING[4:6, 5:8] = False
RING[10:, 14:] = True


def mask_label(mask, index=1, **more):
    return label("mask", index=index, size=list(mask.shape), counts=shapes.encode_rle(mask), **more)


def reasons(found):
    return {entry.place: entry.reason for entry in found.report.left_out}


def read_round(folder, kind, found):
    """What comes back of pictures written in a format; for masks and YOLO without our own file, see below."""
    if kind == "coco":
        return read_coco(write_coco(folder / "x.json", found, NAMES))
    if kind == "cvat":
        return read_cvat(write_cvat(folder / "x.xml", found, NAMES))
    if kind == "yolo":
        write_yolo(folder, found, NAMES)
        return read_yolo(folder)
    if kind == "voc":
        write_voc(folder, found, NAMES)
        return read_voc(folder)
    write_labelme(folder, found, NAMES)
    return read_labelme_folder(folder)


@pytest.mark.parametrize("kind", ["coco", "cvat", "yolo", "voc", "labelme"])
def test_every_format_gives_back_every_kind(kind, tmp_path):
    grouped = (BOX | {"group": 3}, mask_label(RING, 2, id="m", crowd=True, group=3), *ROUND)
    given_ = [
        Labelled("a.png", SIZE, EVERY_KIND),
        Labelled("sub/b.png", (3, 4), ()),
        Labelled("c.png", SIZE, grouped),
    ]
    found = read_round(tmp_path, kind, given_)
    assert same(found[0], given_)
    assert found[1] == NAMES
    assert (found.report.kept, found.report.left_out) == (sum(len(p.labels) for p in given_), ())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures(), st.sampled_from(["cvat", "labelme", "yolo"]))
def test_any_labels_come_back(tmp_path_factory, found, kind):
    folder = tmp_path_factory.mktemp("round")
    if found:
        back, names = read_round(folder, kind, found)
        assert (same(back, found), names) == (True, NAMES)


def without_own(path, kind):
    """The file as a tool leaves it that does not know our part."""
    if kind == "json":
        content = json.loads(path.read_text())
        content.pop("lecturekit", None)
        path.write_text(json.dumps(content))
    else:
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if "<lecturekit>" not in line))


def geometry(labels):
    return [{k: v for k, v in x.items() if k not in ("id", "milliseconds")} for x in labels]


PLAIN = (BOX, ROUND[0], mask_label(RING, 2, group=4), label("point", [(1.25, 2.5)]))
LINE = label("scribble", [(1.0, 2.0), (3.5, 2.0)], width=1.0)


def test_cvat_and_labelme_say_it_all_in_their_own_words(tmp_path):
    given_ = Labelled("a.png", SIZE, (*PLAIN, LINE, label("image_class", index=3)))
    path = write_cvat(tmp_path / "x.xml", [given_], NAMES)
    without_own(path, "xml")
    (picture,), names = read_cvat(path)
    assert (names, geometry(picture.labels)) == (NAMES, geometry(given_.labels))
    path = write_labelme(tmp_path / "a.json", given_, NAMES)
    without_own(path, "json")
    picture, names = read_labelme(path, NAMES)
    assert (picture.file_name, geometry(picture.labels)) == ("a.png", geometry(given_.labels))


def test_what_another_tool_changed_is_believed(tmp_path):
    path = write_cvat(tmp_path / "x.xml", [Labelled("a.png", SIZE, (BOX, ROUND[0]))], NAMES)
    path.write_text(path.read_text().replace('xtl="1.0"', 'xtl="2.0"'))
    (picture,), _ = read_cvat(path)
    assert [x["points"][0] for x in picture.labels] == [[2, 2], [6, 1]]
    content = to_labelme(Labelled("a.png", SIZE, (BOX,)), NAMES)
    content["shapes"].append(dict(content["shapes"][0], label="new"))
    picture, names = from_labelme(content)
    assert names == (*NAMES, "new")
    assert [x["class_index"] for x in picture.labels] == [1, 4]


# ------------------------------------------------------------------ YOLO


def yolo_folder(tmp_path, text, names="names: [cat, dog]", size=SIZE):
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "labels/x.txt").write_text(text)
    (tmp_path / "data.yaml").write_text(names)
    Image.new("RGB", size[::-1]).save(tmp_path / "images/x.JPG", "JPEG")
    return tmp_path


def test_yolo_boxes_and_outlines_of_others(tmp_path):
    text = (
        "1 0.5 0.5 0.25 0.5\n0 0.125 0.25 0.5 0.25 0.5 0.75\n\n1.0 0.5 0.5 0.25 0.5 0.91\n0 0 0 1 0 1 1 0.5\n"
    )
    (picture,), names = read_yolo(yolo_folder(tmp_path, text))
    assert names == ("cat", "dog")
    assert (picture.file_name, picture.size) == ("images/x.JPG", SIZE)
    box, polygon, sure, other = picture.labels
    assert (box["kind"], box["class_index"], box["points"]) == ("box", 2, [[6, 3], [10, 9]])
    assert (polygon["kind"], polygon["class_index"], polygon["points"]) == (
        "polygon",
        1,
        [[2, 3], [8, 3], [8, 9]],
    )
    assert sure["points"] == box["points"]
    assert other["points"] == [[0, 0], [16, 0], [16, 12]]


def test_yolo_sizes_are_those_that_are_seen(tmp_path):
    """A photograph on its side: the labels belong to the picture as it is shown."""
    yolo_folder(tmp_path, "0 0.5 0.5 1 1\n")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images/x.JPG", "JPEG", exif=exif)
    assert read_yolo(tmp_path)[0][0].size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("place", ["labels/classes.txt", "classes.txt", "obj.names"])
def test_yolo_classes_of_other_files(place, tmp_path):
    yolo_folder(tmp_path, "1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / place).write_text("cat\ndog\n\n")
    found = read_yolo(tmp_path)
    assert found[1] == ("cat", "dog")
    assert found.report.kept == 1
    (tmp_path / place).unlink()
    with pytest.raises(ValueError, match="classes must be given"):
        read_yolo(tmp_path)
    assert read_yolo(tmp_path, ["a", "b"])[0][0].labels[0]["class_index"] == 2


def test_yolo_folders_of_a_split_and_names_by_number(tmp_path):
    names = "names:\n  0: cat\n  5: dog\nnc: 2\n"
    (tmp_path / "train").mkdir()
    yolo_folder(tmp_path / "train", "5 0.5 0.5 1 1\n", "x: 1")
    (tmp_path / "data.yaml").write_text(names)
    for folder in (tmp_path, tmp_path / "train", tmp_path / "train/labels"):
        (picture,), classes = read_yolo(folder)
        assert classes == ("cat", "dog")
        assert picture.labels[0]["class_index"] == 2
        assert picture.size == SIZE
    (tmp_path / "train/images/x.JPG").unlink()
    with pytest.raises(ValueError, match=r"x\.txt: the picture must be there"):
        read_yolo(tmp_path)
    assert read_yolo(tmp_path, sizes={"x": (6, 8)})[0][0].labels[0]["points"] == [[0, 0], [8, 6]]


def test_yolo_poses_give_their_boxes(tmp_path):
    names = "names: [cat]\nkpt_shape: [2, 3]\n"
    found = read_yolo(yolo_folder(tmp_path, "0 0.5 0.5 0.25 0.5 0.1 0.1 2 0.2 0.2 2\n", names))
    assert found[0][0].labels[0]["points"] == [[6, 3], [10, 9]]
    assert found.report.notes == ("1 x the keypoints of a line are not read",)


BAD_LINES = {
    "0 0.5 0.5 0.25": "5 numbers or at least 7, got 4",
    "0": "5 numbers",
    "7 0.5 0.5 0.2 0.2": "class must be a number of one that is listed, got '7'",
    "cat 0.5 0.5 0.2 0.2": "must be a number, got 'cat'",
    "0 0.5 nan 0.2 0.2": "must be a number, got 'nan'",
    "0 0.5 0.5 inf 0.2": "must be a number, got 'inf'",
    "0 0.5 0.5 1e999 0.2": "must be a number",
    "0 0.5 0.5 0 0.2": "x0 < x1",
    "0 1.5 0.5 0.2 0.2": "x must be a number of 0..16",
    "0 640 320 20 20": "x must be a number of 0..16",
    "0 " + "0.5 " * 20_003: "at least 7, got 20004",
    "0 0.5 0.5 0.2 ٣": "must be a number",
}


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_lines_are_named_or_left_out(line, tmp_path):
    yolo_folder(tmp_path, f"0 0.5 0.5 0.2 0.2\n{line}\n1 0.5 0.5 0.2 0.2\n")
    with pytest.raises(
        ValueError, match=r"labels/x\.txt: line 2: .*" + BAD_LINES[line].replace("..", r"\.\.")
    ):
        read_yolo(tmp_path)
    found = read_yolo(tmp_path, on_error="skip")
    assert [x["class_index"] for x in found[0][0].labels] == [1, 2]
    assert list(reasons(found)) == ["labels/x.txt: line 2"]


@pytest.mark.parametrize(
    "text",
    [
        "names: &a [*a]",
        "a: [&x [b], *x]\nnames: [*x]",
        "{",
        "names: !!python/object:os.system {}",
        "[" * 5000,
    ],
)
def test_hostile_yaml_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match=r"data\.yaml: this is no sound YAML"):
        read_yolo(yolo_folder(tmp_path, "", text))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.floats(0.05, 0.95), st.integers(1, 9), st.integers(1, 9))
def test_one_outline_encloses_any_mask(seed, share, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < share
    if mask.any():
        polygon = label("polygon", yolo.outline(mask))
        if len(polygon["points"]) >= 3:
            assert np.array_equal(shapes.rasterise(shapes.checked(polygon, mask.shape, 3), mask.shape), mask)


def test_yolo_without_our_file_has_the_same_pixels(tmp_path):
    """Pieces, holes, boxes beside outlines; and what is misread where the two stand in one file does not."""
    size = (101, 77)
    mask = np.zeros(size, bool)
    mask[:12, :16] = RING
    given_ = Labelled(
        "a.png", size, (BOX, ROUND[0], mask_label(mask), label("box", [(0.5, 0.25), (76.5, 99)]))
    )
    for outlines in (True, False):
        write_yolo(tmp_path, [given_], NAMES, outlines=outlines)
        (tmp_path / "lecturekit.json").unlink()
        (picture,), names = read_yolo(tmp_path, sizes={"a": size})
        assert names == NAMES
        assert {len(line.split()) > 5 for line in (tmp_path / "labels/a.txt").read_text().splitlines()} == {
            outlines
        }
        for one, other in zip(picture.labels, given_.labels, strict=True):
            assert one["class_index"] == other["class_index"]
            if outlines:
                assert np.array_equal(shapes.rasterise(one, size), shapes.rasterise(other, size))
            else:
                assert shapes.box_of(one) == pytest.approx(shapes.box_of(other), abs=1e-6)


# ------------------------------------------------------------------ CVAT


def cvat(*things, name="x.jpg"):
    listed = "".join(f"<label><name>{name}</name></label>" for name in ("dog", "cat"))
    head = f"<annotations><version>1.1</version><meta><job><labels>{listed}</labels></job></meta>"
    return f'{head}<image id="7" name="{name}" width="16" height="12">{"".join(things)}</image></annotations>'


def read_text(tmp_path, text, **options):
    (tmp_path / "x.xml").write_text(text)
    return read_cvat(tmp_path / "x.xml", **options)


def test_cvat_shapes_of_others(tmp_path):
    mask = '<mask label="cat" source="manual" rle="1, 2, 1, 2" left="4" top="5" width="3" height="2"/>'
    found = read_text(
        tmp_path,
        cvat(
            '<box label="cat" xtl="2" ytl="3" xbr="9" ybr="8" group_id="5"><attribute>1</attribute></box>',
            '<box label="dog" xtl="4" ytl="4" xbr="8" ybr="6" rotation="90.0"/>',
            '<polygon label="dog" points="1.5,1;5,1;5,5.25"/>',
            '<polyline label="dog" points="1,1;5,5"/>',
            '<points label="cat" points="1,1;2,3"/>',
            mask,
            '<ellipse label="dog" cx="8" cy="6" rx="4" ry="2"/>',
            '<tag label="cat" source="manual"/>',
            '<cuboid label="cat" xtl1="1"/>',
        ),
    )
    (picture,), names = found
    assert names == ("dog", "cat")
    box, turned, polygon, line, one, two, dense, ellipse, tag = picture.labels
    assert (box["class_index"], box["points"], box["group"]) == (2, [[2, 3], [9, 8]], 5)
    assert np.allclose(turned["points"], [[7, 3], [7, 7], [5, 7], [5, 3]])
    assert polygon["points"] == [[1.5, 1], [5, 1], [5, 5.25]]
    assert (line["kind"], line["width"]) == ("scribble", 1)
    assert (one["points"], two["points"]) == ([[1, 1]], [[2, 3]])
    wanted = np.zeros(SIZE, bool)
    wanted[5:7, 4:7] = [[False, True, True], [False, True, True]]
    assert np.array_equal(shapes.rasterise(dense, SIZE), wanted)
    assert shapes.rasterise(ellipse, SIZE).sum() == pytest.approx(np.pi * 8, rel=0.15)
    assert (tag["kind"], tag["class_index"]) == ("image_class", 2)
    assert len({x["id"] for x in picture.labels}) == 9
    assert set(found.report.notes) == {
        "1 x an <attribute> of a shape is not read",
        "1 x <cuboid> is not read",
    }


BAD_CVAT = {
    '<box label="gnu" xtl="1" ytl="1" xbr="2" ybr="2"/>': "label must be one that the file lists, got 'gnu'",
    '<box label="cat" xtl="1" ytl="1" xbr="1" ybr="2"/>': "x0 < x1",
    '<box label="cat" xtl="1" ytl="1" xbr="2"/>': "ybr must be a number, got None",
    '<box label="cat" xtl="1" ytl="1" xbr="nan" ybr="2"/>': "xbr must be a number",
    '<box label="cat" xtl="1" ytl="1" xbr="2" ybr="2" rotation="x"/>': "rotation must be a number",
    '<polygon label="cat" points="1,1;2,2"/>': "3 to 10000 pairs, got 2",
    '<polygon label="cat" points="1,1;2,2;3"/>': "pairs x,y;x,y",
    '<polygon label="cat"/>': "pairs x,y;x,y",
    '<polygon label="cat" points="1,1;2,99;3,3"/>': "y must be a number of 0..12",
    '<mask label="cat" rle="4" left="15" top="1" width="2" height="2"/>': "a mask must lie in the picture",
    '<mask label="cat" rle="5" left="1" top="1" width="2" height="2"/>': "a run's length must be",
    '<mask label="cat" rle="1,x" left="1" top="1" width="2" height="2"/>': "must be a whole number, got 'x'",
    '<mask label="cat" left="1" top="1" width="0" height="2"/>': "a mask must lie in the picture",
    '<ellipse label="cat" cx="99" cy="6" rx="4" ry="2"/>': "must lie in the picture",
    '<tag label=""/>': "label must be one",
}


@pytest.mark.parametrize("thing", BAD_CVAT, ids=range(len(BAD_CVAT)))
def test_bad_cvat_is_named_or_left_out(thing, tmp_path):
    good = '<tag label="cat"/>'
    text = cvat(good, thing, good)
    names = ("dog", "cat")
    with pytest.raises(
        ValueError, match=r"x\.xml: image 7: shape 2 \(\w+\): .*" + BAD_CVAT[thing].replace("..", r"\.\.")
    ):
        read_text(tmp_path, text, classes=names)
    found = read_text(tmp_path, text, classes=names, on_error="skip")
    assert len(found[0][0].labels) == 2
    assert [place.split(" (")[0] for place in reasons(found)] == ["image 7: shape 2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>', "no entities"),
        ("<annotations>", "no XML"),
        ("<annotation/>", "annotations at its root"),
        ("<annotations><track/></annotations>", "tracks of a video"),
        (cvat().replace('width="16"', 'width="0"'), "image 7: height or width"),
        (cvat().replace('width="16"', 'width="999999999"'), "height or width"),
        (cvat(name=".."), "image 7: file name"),
    ],
)
def test_hostile_cvat_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=rf"x\.xml: .*{message}"):
        read_text(tmp_path, text)


# ------------------------------------------------------------------ PNG masks


@settings(max_examples=20, deadline=None)
@given(pictures(), st.sampled_from([0, 255]))
def test_label_maps_come_back(tmp_path_factory, found, outside):
    folder = tmp_path_factory.mktemp("masks")
    write_masks(folder, found, NAMES, outside)
    back, names = read_masks(folder)
    assert names == NAMES
    for one, other in zip(back, found, strict=True):
        assert one.file_name == Path(other.file_name).with_suffix(".png").name
        assert np.array_equal(shapes.label_map(one.labels, SIZE), shapes.label_map(other.labels, SIZE))


def test_masks_in_the_colours_of_a_labelmap(tmp_path):
    numbers = np.array([[0, 1, 2], [2, 2, 9]], np.uint8)
    colours = {0: (0, 0, 0), 1: (51, 221, 255), 2: (250, 50, 83), 9: (224, 224, 192)}
    Image.fromarray(np.array([[colours[n] for n in row] for row in numbers.tolist()], np.uint8)).save(
        tmp_path / "x.PNG"
    )
    text = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:51,221,255::\ncat:250,50,83:ear,tail:run\n"
    )
    (tmp_path / "labelmap.txt").write_text(text)
    (picture,), names = read_masks(tmp_path)
    assert names == ("dog", "cat")
    assert np.array_equal(shapes.label_map(picture.labels, (2, 3)), numbers * (numbers < 9))
    (picture,), _ = read_masks(tmp_path, ["cat", "dog"])
    assert [x["class_index"] for x in picture.labels] == [1, 2]
    assert sum(picture.labels[0]["counts"][1::2]) == 3
    (tmp_path / "y.png").write_bytes(b"no PNG")
    with pytest.raises(ValueError, match=r"y\.png: this is no sound PNG"):
        read_masks(tmp_path)
    found = read_masks(tmp_path, on_error="skip")
    assert (len(found[0]), list(reasons(found))) == (1, ["y.png"])
    (tmp_path / "labelmap.txt").unlink()
    with pytest.raises(ValueError, match="classes must be given"):
        read_masks(tmp_path)
    with pytest.raises(
        ValueError, match=r"x\.PNG: PNG must have colours of classes only, got \(51, 221, 255\)"
    ):
        read_masks(tmp_path, ["cat", "dog"])


def test_a_number_without_a_class_is_refused(tmp_path):
    Image.fromarray(np.full((2, 3), 3, np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png: class_index must be a whole number in 1\.\.2"):
        read_masks(tmp_path, ["cat", "dog"])


# ------------------------------------------------------------------ COCO as it is in practice


def coco(*annotations, categories=("cat", "dog"), **image):
    image = {"id": 1, "file_name": "x.jpg", "height": HEIGHT, "width": WIDTH} | image
    entries = [{"id": k, "image_id": 1, "category_id": 1} | a for k, a in enumerate(annotations)]
    if not isinstance(categories[0], dict):
        categories = [{"id": k, "name": name} for k, name in enumerate(categories, 1)]
    return {"images": [image], "annotations": entries, "categories": list(categories)}


BRUSH = {"iscrowd": 1, "segmentation": {"size": list(SIZE), "counts": [10, 20, 162]}}


def test_masks_of_cvat_are_kept():
    """CVAT writes every mask as RLE with iscrowd 1."""
    with pytest.warns(UserWarning, match="2 of 3 annotations have iscrowd and were kept like all others"):
        (picture,), _ = from_coco(coco(BRUSH, {"bbox": [1, 1, 2, 2]}, BRUSH))
    assert [x["kind"] for x in picture.labels] == ["mask", "box", "mask"]
    assert picture.labels[0]["counts"] == [10, 20, 162]
    assert "crowd" not in picture.labels[0]
    with pytest.warns(UserWarning, match="1 of 1 .* kept and marked"):
        (picture,), _ = from_coco(coco(BRUSH), crowds="mark")
    assert picture.labels[0]["crowd"] is True
    entry = to_coco([picture], ["cat", "dog"])["annotations"][0]
    assert (entry["iscrowd"], entry["segmentation"]) == (1, BRUSH["segmentation"])
    with pytest.warns(UserWarning, match="1 of 2 .* left out"):
        (picture,), _ = from_coco(coco(BRUSH, {"bbox": [1, 1, 2, 2]}), crowds="drop")
    assert [x["kind"] for x in picture.labels] == ["box"]
    with pytest.raises(ValueError, match="crowds must be one of"):
        from_coco(coco(), crowds="yes")


@pytest.mark.parametrize("group", ["fruits", "dog"])
def test_the_root_category_of_roboflow_is_no_class(group):
    """It comes first, nothing uses it, and the others name it; sometimes it is called like one of them."""
    listed = [(0, group, "none"), (1, "cat", group), (2, "dog", group)]
    categories = [dict(zip(("id", "name", "supercategory"), entry, strict=True)) for entry in listed]
    found = from_coco(coco({"bbox": [1, 1, 2, 2], "category_id": 2}, categories=categories))
    assert found[1] == ("cat", "dog")
    assert found[0][0].labels[0]["class_index"] == 2
    assert f"{group!r} is only the name of a group" in found.report.notes[0]
    assert from_coco(coco(categories=categories))[1] == ("cat", "dog")
    used = coco({"bbox": [1, 1, 2, 2], "category_id": 0}, categories=categories)
    if group == "dog":
        with pytest.raises(ValueError, match=r"categories\[2\]: classes must be different names, got 'dog'"):
            from_coco(used)
    else:
        assert from_coco(used)[1] == ("fruits", "cat", "dog")


def test_a_category_that_is_its_own_group_is_a_class():
    """As COCO's own person, and a class that nothing uses."""
    categories = [
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 2, "name": "car", "supercategory": "x"},
    ]
    assert from_coco(coco(categories=categories))[1] == ("person", "car")


BAD_ENTRIES = {
    "no width": {"bbox": [1, 1, 0, 2]},
    "3 px outside": {"bbox": [1, 1, 18, 2]},
    "no picture": {"bbox": [1, 1, 2, 2], "image_id": 9},
    "no class": {"bbox": [1, 1, 2, 2], "category_id": 9},
    "no box": {},
    "no numbers": {"bbox": ["1", "1", "2", "2"]},
    "2 points": {"segmentation": [[1, 1, 2, 2]]},
    "NaN": {"segmentation": [[1, 1, 2, float("nan"), 3, 3]]},
    "runs": {"segmentation": {"size": list(SIZE), "counts": [5]}},
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_one_bad_annotation_costs_only_itself(name):
    good = {"bbox": [1, 1, 2, 2]}
    content = coco(good, BAD_ENTRIES[name], good)
    with pytest.raises(ValueError, match=r"annotations\[1\]: "):
        from_coco(content)
    found = from_coco(content, on_error="skip")
    assert [x["id"] for x in found[0][0].labels] == ["coco-1", "coco-3"]
    assert list(reasons(found)) == ["annotations[1]"]
    assert found.report.kept == 2
    assert "2 labels kept, 1 entries left out\n  annotations[1]: " in str(found.report)
    with pytest.raises(ValueError, match="on_error must be one of 'raise', 'skip'"):
        from_coco(content, on_error="ignore")


def test_one_bad_piece_costs_only_itself():
    square = [0, 0, 4, 0, 4, 4, 0, 4]
    found = from_coco(coco({"segmentation": [square, [1, 1, 2, 2]]}), on_error="skip")
    assert list(reasons(found)) == ["annotations[0]: segmentation[1]"]
    assert shapes.rasterise(found[0][0].labels[0], SIZE).sum() == 16
    found = from_coco(coco({"segmentation": [[1, 1], [2, 2]]}), on_error="skip")
    assert list(reasons(found))[-1] == "annotations[0]"


def test_bad_images_and_categories_cost_what_hangs_on_them():
    content = coco(
        {"bbox": [1, 1, 2, 2]},
        {"bbox": [1, 1, 2, 2], "image_id": 2},
        {"bbox": [1, 1, 2, 2], "category_id": 2},
    )
    content["images"] += [{"id": 2, "file_name": "y.jpg"}, 5, {"id": 1}]
    content["categories"][1]["name"] = None
    with pytest.raises(ValueError, match=r"images\[2\]: an entry"):
        from_coco(content)
    found = from_coco(content, on_error="skip")
    assert found[1] == ("cat",)
    assert [len(p.labels) for p in found[0]] == [1]
    places = ["images[2]", "images[3]", "images[1]", "categories[1]", "annotations[1]", "annotations[2]"]
    assert list(reasons(found)) == places
    del content["images"][2:]
    with pytest.raises(ValueError, match=r"images\[1\]: height or width"):  # not annotations[0]
        from_coco(content)


def taco(count=4784, images=1500, side=(3000, 4000)):
    """A file like TACO's: large pictures, outlines of 60 corners, some in pieces."""
    rng, entries = np.random.default_rng(0), []
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    for k in range(count):
        parts = []
        for _ in range(1 + 2 * (k % 5 == 0)):
            middle, radius = rng.uniform(400, 2600, 2), rng.uniform(20, 300)
            ring = middle + radius * np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(
                0.7, 1, (60, 1)
            )
            parts.append(ring.round(1).ravel().tolist())
        entries.append(
            {"id": k, "image_id": k % images, "category_id": 1, "segmentation": parts, "iscrowd": 0}
        )
    listed = [
        {"id": k, "file_name": f"b/{k}.jpg", "height": side[0], "width": side[1]} for k in range(images)
    ]
    return {"images": listed, "annotations": entries, "categories": [{"id": 1, "name": "litter"}]}


def test_a_file_of_tacos_size_is_no_work(tmp_path):
    """Each outline is worked out inside its own box: counted in pixels, for a clock says little here."""
    content = taco(count=400, images=100)
    drawn = []
    real = shapes._polygon_mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "_polygon_mask", lambda points, box: drawn.append(box) or real(points, box))
        found, _ = from_coco(content)
    assert sum(len(p.labels) for p in found) == 400
    assert len(drawn) == 80 * 3  # the pieces alone
    union = [
        np.concatenate([np.reshape(p, (-1, 2)) for p in e["segmentation"]])
        for e in content["annotations"][::5]
    ]
    wanted = sum(3 * np.prod(np.ptp(points, axis=0) + 2) for points in union)
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in drawn) <= wanted


# ------------------------------------------------------------------ VOC as it is in practice


SIZES = "<size><width>{size}</width><height>12</height></size>"
XML = f"<annotation><filename>{{name}}</filename>{SIZES}{{objects}}</annotation>"
CORNERS = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
OBJECT = f"<object><name>{{}}</name>{CORNERS}{{}}</object>"


def voc_folder(tmp_path, *objects, name="x.jpg", size=16, file="x.xml", **label_maps):
    (tmp_path / "Annotations").mkdir(exist_ok=True)
    things = "".join(OBJECT.format(*((thing, "") if isinstance(thing, str) else thing)) for thing in objects)
    (tmp_path / "Annotations" / file).write_text(XML.format(name=name, size=size, objects=things))
    for folder, picture in label_maps.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / folder / "x.png")
    return tmp_path


def coloured(numbers, colours=masks.COLOURS):
    return np.asarray(colours, np.uint8)[numbers]


def test_a_labelmap_tells_others_the_colours(tmp_path):
    write_voc(tmp_path, [Labelled("x.jpg", SIZE, (ROUND[0],))], NAMES)
    lines = (tmp_path / "labelmap.txt").read_text().splitlines()
    assert lines[0].startswith("#")
    assert lines[1:4] == ["background:0,0,0::", "star:128,0,0::", "Vogel & <Söhne>:0,128,0::"]
    assert lines[-1] == "ignored:224,224,192::"
    with Image.open(tmp_path / "SegmentationClass/x.png") as picture:
        assert picture.convert("RGB").getpixel((13, 3)) == (0, 128, 0)  # class 2


@pytest.mark.parametrize("alpha", [False, True])
def test_masks_in_colour_are_turned_back(alpha, tmp_path):
    objects = np.zeros(SIZE, np.uint8)
    objects[3:5, 4:8], objects[5, 4:8] = 1, 255
    numbers = np.where(objects == 1, 2, objects)
    both = [coloured(numbers), coloured(objects)]
    if alpha:
        both = [np.dstack([m, np.full(SIZE, 255, np.uint8)]) for m in both]
    voc_folder(tmp_path, "dog", "cat", SegmentationClass=both[0], SegmentationObject=both[1])
    (picture,), _ = read_voc(tmp_path, ("cat", "dog"))
    assert [x["kind"] for x in picture.labels] == ["mask", "box"]
    assert np.array_equal(shapes.rasterise(picture.labels[0], SIZE), objects == 1)
    text = "background:0,0,0::\ndog:1,2,3::\ncat:4,5,6::\n"  # CVAT has colours of its own, and an order
    (tmp_path / "labelmap.txt").write_text(text)
    colours = [(0, 0, 0), (4, 5, 6), (1, 2, 3), *[(224, 224, 192)] * 253]
    voc_folder(tmp_path, "dog", "cat", SegmentationClass=coloured(numbers, colours))
    (picture,), names = read_voc(tmp_path)
    assert names == ("dog", "cat")
    assert [x["class_index"] for x in picture.labels] == [1, 2]
    assert picture.labels[0]["kind"] == "mask"


def test_a_bad_mask_costs_only_the_masks(tmp_path):
    strange = np.full((*SIZE, 3), 7, np.uint8)
    voc_folder(tmp_path, "dog", SegmentationObject=strange)
    with pytest.raises(
        ValueError, match=r"x\.xml: SegmentationObject: PNG must have colours .* got \(7, 7, 7\)"
    ):
        read_voc(tmp_path)
    found = read_voc(tmp_path, on_error="skip")
    assert [x["kind"] for x in found[0][0].labels] == ["box"]
    assert list(reasons(found)) == ["x.xml: SegmentationObject"]


def test_one_bad_file_or_object_costs_only_itself(tmp_path):
    for k, file in enumerate(("a.xml", "b.xml", "c.XML", "d.xml")):
        voc_folder(tmp_path, "dog", "gnu", "dog", name=f"{file[0]}.jpg", file=file, size=0 if k == 1 else 16)
    (tmp_path / "Annotations/d.xml").write_text("<annotation>")
    (tmp_path / "Annotations/readme.txt").write_text("no XML")
    with pytest.raises(ValueError, match=r"d\.xml: this is no XML"):
        read_voc(tmp_path, ("dog",))
    found = read_voc(tmp_path, ("dog",), on_error="skip")
    assert [p.file_name for p in found[0]] == ["a.jpg", "c.jpg"]
    assert [[x["id"] for x in p.labels] for p in found[0]] == [["voc-1", "voc-3"]] * 2
    assert list(reasons(found)) == ["d.xml", "a.xml: object 2", "b.xml", "c.XML: object 2"]


def test_a_folder_without_xml_is_not_blamed_on_the_classes(tmp_path):
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(ValueError, match="Annotations must hold XML files"):
        read_voc(tmp_path)


def test_outlines_inside_the_xml(tmp_path):
    """As RectLabel and Roboflow write them."""
    corners = "<x1>1.5</x1><y1>1</y1><x2>9</x2><y2>1</y2><x3>9</x3><y3>8</y3>"
    broken = "<polygon><x1>1</x1><y1>1</y1><x2>9</x2><y2>1</y2></polygon>"
    part = "<part><name>head</name></part>"
    voc_folder(tmp_path, ("dog", f"<polygon>{corners}</polygon>"), ("cat", part), ("cat", broken))
    with pytest.raises(ValueError, match=r"x\.xml: object 3: points of a polygon"):
        read_voc(tmp_path)
    found = read_voc(tmp_path, on_error="skip")
    polygon, box = found[0][0].labels
    assert (polygon["kind"], polygon["points"]) == ("polygon", [[1.5, 1], [9, 1], [9, 8]])
    assert box["kind"] == "box"
    assert found.report.notes == ("1 x <part> of an object is not read",)


def test_a_size_that_is_missing_is_the_pictures(tmp_path):
    voc_folder(tmp_path, "dog", size=0)
    with pytest.raises(ValueError, match=r"x\.xml: height or width"):
        read_voc(tmp_path)
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "JPEGImages/x.jpg")
    assert read_voc(tmp_path)[0][0].size == SIZE


# ------------------------------------------------------------------ labelme as it is in practice


def labelme(*things, **more):
    about = {"version": "3.5.0", "flags": {}, "imagePath": "../photos/x.jpg", "imageData": None}
    return about | {"shapes": list(things)} | more


def thing(kind, points, label="dog", **more):
    return {"label": label, "points": points, "shape_type": kind} | more


def test_old_files_of_labelme_know_no_size(tmp_path):
    path = tmp_path / "json" / "x.json"
    path.parent.mkdir()
    (tmp_path / "photos").mkdir()
    content = labelme({"label": "dog", "points": [[1, 1], [5, 1], [5, 5]]})  # no shape_type, either
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"x\.json: imageHeight and imageWidth must be there"):
        read_labelme(path)
    for place in (tmp_path / "photos/x.jpg", path.with_name("x.jpg")):
        Image.new("RGB", (WIDTH, HEIGHT)).save(place)
        picture, _ = read_labelme(path)
        assert (picture.size, picture.labels[0]["kind"]) == (SIZE, "polygon")
        place.unlink()
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(buffer, "JPEG")
    data = base64.b64encode(buffer.getvalue()).decode()
    assert from_labelme(content | {"imageData": data})[0].size == SIZE
    for bad in ("!", "aaaa", 5, data[:40]):
        with pytest.raises(ValueError, match="imageHeight"):
            from_labelme(content | {"imageData": bad})


def test_groups_are_kept_and_bad_shapes_left_out():
    content = labelme(
        thing("rectangle", [[1, 1], [5, 5]], group_id=7),
        thing("helix", [[1, 1]]),
        thing("point", [[1, 1]], group_id="a"),
        5,
        thing("rectangle", [[1, 1], [5, 5]], group_id=None),
        imageHeight=HEIGHT,
        imageWidth=WIDTH,
    )
    with pytest.raises(ValueError, match=r"shapes\[1\]: shape_type"):
        from_labelme(content)
    found = from_labelme(content, on_error="skip")
    assert [x.get("group") for x in found[0].labels] == [7, None]
    assert list(reasons(found)) == ["shapes[1]", "shapes[2]", "shapes[3]"]


@pytest.mark.parametrize("centre", [(-9, 6), (8, 30), (-4, -4), (40, 40)])
def test_a_circle_outside_the_picture_is_none(centre):
    x, y = centre
    content = labelme(thing("circle", [[x, y], [x + 3, y]]), imageHeight=HEIGHT, imageWidth=WIDTH)
    with pytest.raises(ValueError, match=r"shapes\[0\]: a circle must lie in the picture"):
        from_labelme(content)
    inside = labelme(thing("circle", [[0, 0], [3, 0]]), imageHeight=HEIGHT, imageWidth=WIDTH)
    circle = from_labelme(inside)[0].labels[0]
    assert shapes.rasterise(circle, SIZE).sum() == pytest.approx(np.pi * 9 / 4, rel=0.3)
    assert all(a != b for a, b in zip(circle["points"], circle["points"][1:], strict=False))


def test_a_folder_of_labelme_has_one_list_of_classes(tmp_path):
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    for name, kind in (("a", "dog"), ("b", "cat"), ("c", "owl")):
        (tmp_path / f"{name}.json").write_text(json.dumps(labelme(thing("point", [[1, 1]], kind), **size)))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ValueError, match=r"c\.json"):
        read_labelme_folder(tmp_path)
    found = read_labelme_folder(tmp_path, on_error="skip")
    assert found[1] == ("cat", "dog")
    assert [p.labels[0]["class_index"] for p in found[0]] == [2, 1]
    assert list(reasons(found)) == ["c.json"]


# ------------------------------------------------------------------ whatever stands in a file


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(["x.xml", "voc", "yolo"]))
def test_mutated_files_are_read_or_refused(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("mutated", numbered=True)
    if kind == "x.xml":
        path = write_cvat(folder / "x.xml", [Labelled("a.png", SIZE, EVERY_KIND)], NAMES)
    elif kind == "voc":
        path = (
            voc_folder(folder, "dog", ("cat", "<polygon><x1>1</x1><y1>1</y1></polygon>"))
            / "Annotations/x.xml"
        )
    else:
        path = yolo_folder(folder, "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.5 0.1 0.5 0.5\n") / "labels/x.txt"
    text = path.read_bytes()
    start = data.draw(st.integers(0, len(text)))
    junk = data.draw(
        st.one_of(st.binary(max_size=6), st.sampled_from([b"-1", b"1e9", b"999999999", b"nan", b'"', b">"]))
    )
    path.write_bytes(text[:start] + junk + text[start + data.draw(st.integers(0, 6)) :])
    readers = {"x.xml": lambda **o: read_cvat(path, **o), "voc": lambda **o: read_voc(folder, **o)}
    read = readers.get(kind, lambda **o: read_yolo(folder, **o))
    with suppress(ValueError):
        assert_clean(*read())
    with suppress(ValueError):
        assert_clean(*read(on_error="skip"))


def test_large_files_are_not_read(tmp_path, monkeypatch):
    write_yolo(tmp_path, [Labelled("a.png", SIZE, (BOX,))], NAMES)
    path = write_cvat(tmp_path / "x.xml", [Labelled("a.png", SIZE, (BOX,))], NAMES)
    monkeypatch.setattr(files, "MAX_BYTES", 20)
    for read in (lambda: read_cvat(path), lambda: read_yolo(tmp_path)):
        with pytest.raises(ValueError, match="at most 20 bytes"):
            read()


# ------------------------------------------------------------------ what other readers see in our files

FOR_OTHERS = [
    Labelled("a.png", SIZE, (BOX, ROUND[0], mask_label(RING, id="m"), ROUND[1])),
    Labelled("b.png", SIZE, (label("box", [(2, 2), (8, 8)], 2),)),
]


def test_cocos_own_tools_read_and_judge_our_export(tmp_path):
    """A file with a label that is only a box can be judged by segments, too."""
    module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    judge = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")
    truth = module.COCO(str(write_coco(tmp_path / "x.json", FOR_OTHERS, NAMES)))
    ours = [x for p in FOR_OTHERS for x in p.labels]
    for entry, label_ in zip(truth.dataset["annotations"], ours, strict=True):
        theirs = truth.annToMask(entry).astype(bool)
        if label_["kind"] == "mask":
            assert np.array_equal(theirs, RING)
        assert (theirs ^ shapes.rasterise(label_, SIZE)).sum() <= 2  # their polygons' edges differ by a pixel
        entry["score"] = 0.9
    results = truth.loadRes([dict(e, segmentation=truth.annToRLE(e)) for e in truth.dataset["annotations"]])
    for kind in ("segm", "bbox"):
        evaluation = judge.COCOeval(truth, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)


def test_runs_are_cocos(tmp_path):
    codec = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    for seed in range(30):
        mask = np.random.default_rng(seed).random(SIZE) < 0.5
        text = codec.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        (picture,), _ = from_coco(coco({"segmentation": {"size": list(SIZE), "counts": text}}))
        assert np.array_equal(shapes.rasterise(picture.labels[0], SIZE), mask)


def pictures_of(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    return str(folder)


def test_supervision_reads_our_files(tmp_path):
    data = pytest.importorskip("supervision", reason="supervision is not installed").DetectionDataset
    images = pictures_of(tmp_path / "yolo/images")
    write_yolo(tmp_path / "yolo", FOR_OTHERS, NAMES)
    write_voc(tmp_path / "voc", FOR_OTHERS, NAMES)
    write_coco(tmp_path / "x.json", FOR_OTHERS, NAMES)
    yolo_ = data.from_yolo(images, str(tmp_path / "yolo/labels"), str(tmp_path / "yolo/data.yaml"))
    coco_ = data.from_coco(images, str(tmp_path / "x.json"))
    voc_ = data.from_pascal_voc(images, str(tmp_path / "voc/Annotations"))
    assert yolo_.classes == coco_.classes == list(NAMES)
    for found, slack in ((yolo_, 0.01), (coco_, 0.01), (voc_, 0.51)):
        boxes = {Path(path).name: (seen.xyxy, seen.class_id) for path, _, seen in found}
        for picture in FOR_OTHERS:
            met, classes = boxes[picture.file_name]
            assert np.allclose(met, [shapes.box_of(x) for x in picture.labels], atol=slack)
            if found is not voc_:
                assert classes.tolist() == [x["class_index"] - 1 for x in picture.labels]


def test_datumaro_reads_our_files(tmp_path):
    """The reader that CVAT uses: the masks of VOC by labelmap.txt, and CVAT's own XML."""
    dm = pytest.importorskip("datumaro", reason="datumaro is not installed")
    write_voc(tmp_path / "voc", FOR_OTHERS, NAMES)
    pictures_of(tmp_path / "voc/JPEGImages")
    for folder in ("Main", "Segmentation"):
        (tmp_path / "voc/ImageSets" / folder).mkdir(parents=True)
        (tmp_path / "voc/ImageSets" / folder / "default.txt").write_text("a\nb\n")
    found = dm.Dataset.import_from(str(tmp_path / "voc"), "voc")
    names = [c.name for c in found.categories()[dm.AnnotationType.label].items]
    assert names == ["background", *NAMES, "ignored"]
    seen = {
        names[a.label]: a.image.sum()
        for a in {item.id: item for item in found}["a"].annotations
        if a.type == dm.AnnotationType.mask
    }
    numbers = shapes.label_map(FOR_OTHERS[0].labels[1:3], SIZE)
    assert {k: v for k, v in seen.items() if k != "ignored"} == {
        NAMES[k - 1]: (numbers == k).sum() for k in (1, 2)
    }
    write_cvat(tmp_path / "cvat/x.xml", FOR_OTHERS, NAMES)
    pictures_of(tmp_path / "cvat/images")
    found = dm.Dataset.import_from(str(tmp_path / "cvat"), "cvat")
    box, polygon, mask, _ = {item.id: item for item in found}["a"].annotations
    assert (box.points, polygon.points) == ([1, 2, 5, 9], [6, 1, 14, 1, 14, 10])
    assert np.array_equal(mask.image, RING)
