"""Files of other tools: what goes out comes back, what others write is read, what is hostile is refused."""

import base64
import doctest
import io
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_samples import (
    EVERY_KIND,
    HEIGHT,
    NAMES,
    SIZE,
    WIDTH,
    anything,
    assert_clean,
    label,
    pictures,
    same,
)
from PIL import Image
from support import VOC

from lecturekit.datasets import voc
from lecturekit.kit import files
from lecturekit.labels import interchange, shapes
from lecturekit.labels.interchange import (
    Labelled,
    _common,
    checked_path,
    decode_counts,
    from_coco,
    from_labelme,
    read_coco,
    read_cvat,
    read_labelme,
    read_voc,
    to_coco,
    write_coco,
    write_voc,
)

# ------------------------------------------------------------------ round trips


@settings(max_examples=40, deadline=None)
@given(pictures())
def test_coco_gives_back_what_went_out(found):
    back, names = from_coco(json.loads(json.dumps(to_coco(found, NAMES), allow_nan=False)))
    assert names == NAMES
    assert same(back, found)


@settings(max_examples=25, deadline=None)
@given(pictures())
def test_voc_gives_back_what_went_out(found):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Annotations").mkdir()
        write_voc(folder, found, NAMES)
        back, names = read_voc(folder, NAMES)
        assert same(back, found)
        assert [p.labels for p in back] == [p.labels for p in found]
        if found:
            assert read_voc(folder)[1] == names == NAMES


def test_files_give_back_every_kind(tmp_path):
    found = [Labelled("a.png", SIZE, EVERY_KIND), Labelled("sub/b.png", (3, 4), ())]
    assert same(read_coco(write_coco(tmp_path / "coco.json", found, NAMES))[0], found)
    written = write_voc(tmp_path / "voc", found, NAMES)
    assert sorted(str(p.relative_to(tmp_path / "voc")).replace(os.sep, "/") for p in written) == [
        "Annotations/a.xml",
        "Annotations/b.xml",
        "SegmentationClass/a.png",
        "SegmentationObject/a.png",
        "labelmap.txt",
    ]
    assert same(read_voc(tmp_path / "voc")[0], found)


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_coco(tmp_path / "coco.json", [Labelled("a.png", SIZE, EVERY_KIND)], NAMES)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="class_index"):
        write_coco(path, [Labelled("a.png", SIZE, (label("point", [(1, 1)], index=9),))], NAMES)
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="write several files"):
        write_coco(path, [Labelled("a.png", SIZE, EVERY_KIND)], NAMES)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="file name"):
        write_voc(tmp_path / "voc", [Labelled("a.png", SIZE, ()), Labelled("../b.png", SIZE, ())], NAMES)
    assert not (tmp_path / "voc").exists()


# ------------------------------------------------------------------ what others see in our files


def test_coco_fields_are_those_of_other_tools():
    content = to_coco([Labelled("a.png", SIZE, EVERY_KIND)], NAMES)
    assert [c["name"] for c in content["categories"]] == list(NAMES)
    assert [(i["width"], i["height"]) for i in content["images"]] == [(16, 12)]
    box, extreme, polygon, mask = content["annotations"]
    assert box["bbox"] == pytest.approx([0.1, 0.2, 5.6, 9.7])
    assert (box["category_id"], box["iscrowd"]) == (3, 0)
    assert box["segmentation"] == [[0.1, 0.2, 5.7, 0.2, 5.7, 9.9, 0.1, 9.9]]  # COCOeval needs one
    assert extreme["bbox"] == [2, 1, 7.5, 10]
    assert polygon["segmentation"] == [[1.1, 1.0, 9.0, 1.3, 4.0, 8.0]]
    assert mask["segmentation"] == {"size": [12, 16], "counts": [13, 40, 139]}
    assert (mask["area"], mask["bbox"]) == (40, [1, 0, 4, 12])
    assert len({a["id"] for a in content["annotations"]}) == 4


def test_voc_files_are_read_by_another_reader(tmp_path):
    """The course's own reader of VOC, which knows nothing of the export."""
    names = voc.CLASSES[1:]
    found = (label("box", [(3, 2), (9, 11)], index=12), label("polygon", [(0, 0), (4, 0), (4, 4), (0, 4)]))
    write_voc(tmp_path, [Labelled("x.jpg", SIZE, found)], names)
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "JPEGImages/x.jpg")
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("x\n")
    picture = voc.VOC(tmp_path)[0]
    assert picture.boxes.tolist() == [[3, 2, 9, 11], [0, 0, 4, 4]]
    assert picture.classes.tolist() == [12, 1]
    wanted = np.zeros(SIZE, np.uint8)
    wanted[2:11, 3:9] = 255  # somewhere in the box is a dog
    wanted[:4, :4] = 1
    assert np.array_equal(picture.mask, wanted)
    objects = np.array(Image.open(tmp_path / "SegmentationObject/x.png"))
    assert np.array_equal(objects, np.where(wanted == 1, 2, wanted))
    with Image.open(tmp_path / "SegmentationClass/x.png") as file:
        palette = file.getpalette()
    assert palette[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]  # as in VOC's own files
    assert palette[-3:] == [224, 224, 192]
    text = (tmp_path / "Annotations/x.xml").read_text()
    assert all(f"<{side}>{value}<" in text for side, value in (("xmin", 4), ("ymin", 3), ("xmax", 9)))


def test_pictures_of_one_name_cannot_both_be_written(tmp_path):
    with pytest.raises(ValueError, match="different names"):
        write_voc(tmp_path, [Labelled("a/x.jpg", SIZE, ()), Labelled("b/X.png", SIZE, ())], NAMES)
    many = tuple(label("polygon", [(1, 1), (9, 1), (5, 5)], id=str(k)) for k in range(255))
    with pytest.raises(ValueError, match="at most 254"):
        write_voc(tmp_path, [Labelled("a.jpg", SIZE, many)], NAMES)


# ------------------------------------------------------------------ what others write


def coco(annotation, **image):
    """A file of one picture and one annotation, as another tool writes it."""
    image = {"id": 7, "file_name": "train/0.jpg", "height": HEIGHT, "width": WIDTH} | image
    categories = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}]
    entry = {"id": 1, "image_id": 7, "category_id": 90} | annotation
    return {"images": [image], "annotations": [entry], "categories": categories}


def only_label(content):
    (picture,), names = from_coco(content)
    assert names == ("cat", "dog")  # in the order of their ids
    (found,) = picture.labels
    assert found["class_index"] == 2
    assert found["milliseconds"] == 0
    return found


def test_coco_boxes_and_polygons_of_others():
    box = only_label(coco({"bbox": [2, 3, 4, 5]}))
    assert (box["kind"], box["points"]) == ("box", [[2, 3], [6, 8]])
    polygon = only_label(coco({"segmentation": [[1, 1, 16.4, 1, 5, 12.01]], "bbox": [1, 1, 4, 4]}))
    assert polygon["points"] == [[1, 1], [16, 1], [5, 12]]  # a little outside is rounding


def test_coco_objects_in_pieces_become_one_mask():
    found = only_label(coco({"segmentation": [[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 6, 2, 6, 6, 2, 6]]}))
    wanted = np.zeros(SIZE, bool)
    wanted[:4, :4] = wanted[2:6, 2:6] = True
    assert np.array_equal(shapes.rasterise(found, SIZE), wanted)


def compressed(counts):
    """COCO's string for runs: five bits and a flag a character, from the run before last."""
    text = ""
    for k, count in enumerate(counts):
        value, more = count - counts[k - 2] if k > 2 else count, True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


@pytest.mark.parametrize(
    ("counts", "text"),
    [([0, 6, 1, 3], "061M"), ([0, 6, 1, 6], "0610"), ([0, 1024], "0PP1"), ([0, 1, 1, 2, 1, 3, 1], "0111010")],
)
def test_compressed_runs_as_cocos_tools_write_them(counts, text):
    assert decode_counts(text, 99) == counts
    assert compressed(counts) == text


@settings(max_examples=40)
@given(st.integers(0, 999), st.floats(0, 1))
def test_compressed_masks_are_read(seed, share):
    mask = np.random.default_rng(seed).random(SIZE) < share
    runs = {"size": list(SIZE), "counts": compressed(shapes.encode_rle(mask))}
    assert np.array_equal(shapes.rasterise(only_label(coco({"segmentation": runs})), SIZE), mask)


def test_what_another_tool_changed_is_believed_and_the_time_stays():
    content = to_coco([Labelled("a.png", SIZE, EVERY_KIND)], NAMES)
    box, _, polygon, _ = content["annotations"]
    box["bbox"][0] += 1
    polygon["category_id"] = 3
    changed = {x["id"]: x for x in from_coco(content)[0][0].labels}
    assert changed["box-1"]["points"][0] == pytest.approx([1.1, 0.2])
    assert changed["box-1"]["milliseconds"] == 1234
    assert changed["polygon-1"]["class_index"] == 3
    assert changed["extreme-1"] == EVERY_KIND[4]


@pytest.mark.skipif(not (VOC / "Annotations").is_dir(), reason=f"no VOC folder {VOC.name} (LECTUREKIT_VOC)")
def test_real_voc_files_come_in_and_survive_coco(tmp_path):
    found, names = read_voc(VOC, voc.CLASSES[1:])
    by_name = {Path(p.file_name).stem: p for p in found}
    pictures = voc.VOC(VOC, sorted(p.stem for p in (VOC / "ImageSets/Segmentation").glob("*.txt"))[0])
    for k in range(0, len(pictures), max(1, len(pictures) // 20)):
        boxes = [shapes.box_of(x) for x in by_name[pictures.names[k]].labels]
        assert np.array_equal(np.reshape(boxes, (-1, 4)), pictures[k].boxes)
    assert read_coco(write_coco(tmp_path / "coco.json", found, names)) == (found, names)


XML = """<annotation><folder>VOC2012</folder><filename>x.jpg</filename>
<size><width>16</width><height>12</height><depth>3</depth></size>
<object><name>dog</name><bndbox><xmax>9</xmax><xmin>4</xmin><ymin>3</ymin><ymax>11.0</ymax></bndbox></object>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>16</xmax><ymax>12</ymax></bndbox></object>
</annotation>"""


CVAT = """<annotations><version>1.1</version><meta><task><labels>
<label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>
<image id="0" name="a/x.jpg" width="16" height="12">
<box label="cat" source="manual" occluded="0" xtl="1.5" ytl="2" xbr="9.25" ybr="11" z_order="0"></box>
</image></annotations>"""


def voc_folder(tmp_path, xml=XML, **label_maps):
    (tmp_path / "Annotations").mkdir(exist_ok=True)
    (tmp_path / "Annotations/x.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    for folder, label_map in label_maps.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(label_map).save(tmp_path / folder / "x.png")
    return tmp_path


def test_voc_boxes_of_others_are_converted_at_the_door(tmp_path):
    (picture,), names = read_voc(voc_folder(tmp_path))
    assert names == ("cat", "dog")
    assert picture.file_name == "x.jpg"
    assert [x["points"] for x in picture.labels] == [[[3, 2], [9, 11]], [[0, 0], [16, 12]]]
    assert [x["class_index"] for x in picture.labels] == [2, 1]


def test_voc_masks_of_others_take_the_place_of_boxes(tmp_path):
    objects = np.zeros(SIZE, np.uint8)
    objects[3:5, 4:8], objects[5, 4:8] = 1, 255
    kinds = {"SegmentationObject": objects, "SegmentationClass": np.where(objects == 1, 2, objects)}
    (picture,), _ = read_voc(voc_folder(tmp_path, **kinds))
    assert [x["kind"] for x in picture.labels] == ["mask", "box"]
    assert np.array_equal(shapes.rasterise(picture.labels[0], SIZE), objects == 1)
    with pytest.raises(ValueError, match="order of their numbers"):
        read_voc(tmp_path, ("dog", "cat"))


def test_voc_files_that_another_tool_changed(tmp_path):
    write_voc(tmp_path, [Labelled("x.jpg", SIZE, EVERY_KIND)], NAMES)
    path = tmp_path / "Annotations/x.xml"
    path.write_text(path.read_text().replace("<xmin>1<", "<xmin>2<", 1))
    (picture,), _ = read_voc(tmp_path)
    assert {x["kind"] for x in picture.labels} == {"box", "mask"}
    assert picture.labels[0]["points"] == [[1, 0], [6, 10]]


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def labelme(*found, **more):
    about = {"version": "5.5.0", "flags": {}, "imagePath": "..\\photos\\x.jpg", "imageData": None}
    return about | {"imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": list(found)} | more


def thing(kind, points, label="dog", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}} | more


def test_labelme_kinds():
    mask = np.arange(6).reshape(2, 3) % 2 == 1
    content = labelme(
        thing("rectangle", [[9, 8], [2, 3]]),
        thing("polygon", [[1, 1], [5, 1], [5, 5]], "cat"),
        thing("point", [[1, 1]]),
        thing("linestrip", [[1, 1], [5, 5], [9, 1]]),
        thing("circle", [[8, 6], [8, 9]]),
        thing("mask", [[4, 5], [6, 6]], mask=png(mask)),
        flags={"cat": True, "bird": False},
    )
    picture, names = from_labelme(content)
    assert names == ("cat", "dog")
    assert picture.file_name == "x.jpg"
    box, polygon, point, line, circle, dense, flag = picture.labels
    assert box["points"] == [[2, 3], [9, 8]]
    assert (polygon["class_index"], polygon["points"]) == (1, [[1, 1], [5, 1], [5, 5]])
    assert point["points"] == [[1, 1]]
    assert (line["kind"], line["width"]) == ("scribble", 1)
    assert shapes.rasterise(circle, SIZE).sum() == pytest.approx(np.pi * 9, rel=0.2)
    assert np.array_equal(shapes.rasterise(dense, SIZE)[5:7, 4:7], mask)
    assert shapes.rasterise(dense, SIZE).sum() == mask.sum()
    assert (flag["kind"], flag["class_index"]) == ("image_class", 1)


def test_a_labelme_file_without_labels_and_one_on_disk(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(labelme()))
    assert read_labelme(path) == (Labelled("x.jpg", SIZE, ()), ())
    path.write_text(json.dumps(labelme(thing("point", [[99, 1]]))))
    with pytest.raises(ValueError, match=r"x\.json: shapes\[0\]: x must be a number"):
        read_labelme(path)


# ------------------------------------------------------------------ hostile files

NAN = float("nan")
BAD_COCO = {
    "no object": ([], "images must be a list"),
    "no images": ({"images": None}, "images must be a list of JSON objects, got None"),
    "numbers for images": ({"images": [1]}, r"images\[0\]: an entry must be a JSON object"),
    "no annotations": ({"images": []}, "annotations must be a list"),
    "same id twice": (coco({}) | {"images": [{"id": 1}, {"id": 1}]}, "ids of images must be different"),
    "id a list": (coco({}, id=[7]), "ids of images"),
    "names alike": (
        coco({}) | {"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]},
        "different names",
    ),
    "name no text": (
        coco({}) | {"categories": [{"id": 90, "name": {}}]},
        r"categories\[0\]: a class must be",
    ),
    "no categories": (coco({}) | {"categories": []}, "different names"),
    "unknown image": (coco({"image_id": 8}), r"annotations\[0\]: image_id must be one"),
    "image a dict": (coco({"image_id": {}}), "image_id must be one"),
    "unknown class": (coco({"category_id": None}), "category_id must be one"),
    "wrong size": (coco({"bbox": [1, 1, 1, 1]}, height="12"), r"images\[0\]: height or width"),
    "a million pixels a side": (coco({"bbox": [1, 1, 1, 1]}, height=10**6, width=10**6), "at most"),
    "no box": (coco({}), "bbox must be 4 finite numbers, got None"),
    "box NaN": (coco({"bbox": [NAN, 1, 1, 1]}), "bbox must be 4 finite numbers"),
    "box huge": (coco({"bbox": [10**400, 1, 1, 1]}), "bbox must be 4 finite numbers"),
    "box outside": (coco({"bbox": [1, 1, 30, 1]}), "x must be a number"),
    "box flat": (coco({"bbox": [1, 1, 0, 1]}), "x0 < x1"),
    "box turned": (coco({"bbox": [5, 5, -2, -2]}), "x0 < x1"),
    "outline a text": (coco({"segmentation": "x"}), "polygons or RLE"),
    "outline odd": (coco({"segmentation": [[1, 1, 2, 2, 3, 3, 4]]}), "an even one"),
    "outline short": (coco({"segmentation": [[1, 1, 2, 2]]}), "6 to"),
    "outline of dicts": (coco({"segmentation": [{"a": 1}]}), "6 to"),
    "outline endless": (coco({"segmentation": [[1, 1] * 10**6]}), "got a list of 2000000"),
    "outline NaN": (coco({"segmentation": [[1, 1, 5, NAN, 4, 4]]}), "2 finite numbers"),
    "runs too few": (coco({"segmentation": {"size": [12, 16], "counts": [5]}}), "add up"),
    "runs of another size": (coco({"segmentation": {"size": [16, 12], "counts": [192]}}), "size of the mask"),
    "runs endless": (coco({"segmentation": {"size": [12, 16], "counts": [10**30]}}), "a run's length"),
    "runs negative": (coco({"segmentation": {"size": [12, 16], "counts": [-1, 193]}}), "a run's length"),
    "runs no list": (coco({"segmentation": {"size": [12, 16], "counts": 5}}), "counts must be"),
    "compressed rubbish": (coco({"segmentation": {"size": [12, 16], "counts": "\x00"}}), "compressed RLE"),
    "compressed endless": (coco({"segmentation": {"size": [12, 16], "counts": "0" * 10**6}}), "at most 193"),
    "compressed huge": (coco({"segmentation": {"size": [12, 16], "counts": "o" * 99}}), "compressed RLE"),
    "compressed, broken off": (coco({"segmentation": {"size": [12, 16], "counts": "P"}}), "breaks off"),
    "own part a text": (coco({"bbox": [1, 1, 1, 1]}, lecturekit="x"), "lecturekit must be a list"),
    "own part bad": (coco({"bbox": [1, 1, 1, 1]}, lecturekit=[{}]), "kind must be"),
}
NO_NAMES = (
    *(
        "",
        ".",
        "a/..",
        "x\n.jpg",
        "x\0",
        "nul",
        "sub/CON.jpg",
        "x.jpg ",
        "a.",
        "file:x",
        "C:",
        "sub/",
        "..\\",
    ),
    *("a" * 201, None, 5, "\ud800"),
)
TRICKS = (
    "../x.jpg",
    "a/../x.jpg",
    "/etc/x.jpg",
    "C:/x.jpg",
    "a\\x.jpg",
    "..\\..\\x.jpg",
    "a//x.jpg",
    "a/./x.jpg",
    "./x.jpg",
    "C:\\a b\\x.jpg",
    "\\\\host\\share\\x.jpg",
    "/data/coco://x.jpg",
    "a" * 300 + "/x.jpg",
)


@pytest.mark.parametrize("name", BAD_COCO)
def test_bad_coco_is_refused(name):
    content, message = BAD_COCO[name]
    with pytest.raises(ValueError, match=message) as caught:
        from_coco(content)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("number", range(len(NO_NAMES)))
def test_file_names_that_are_none_are_refused(number, tmp_path):
    with pytest.raises(ValueError, match="file name must be a plain relative path"):
        checked_path(NO_NAMES[number])
    with pytest.raises(ValueError, match="file name"):
        from_coco(coco({"bbox": [1, 1, 1, 1]}, file_name=NO_NAMES[number]))
    with pytest.raises(ValueError, match="file name"):
        write_voc(tmp_path, [Labelled(NO_NAMES[number], SIZE, ())], NAMES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TRICKS)
def test_of_paths_with_tricks_only_the_last_part_is_taken(name, tmp_path):
    assert from_coco(coco({"bbox": [1, 1, 1, 1]}, file_name=name))[0][0].file_name == "x.jpg"
    assert from_labelme(labelme(imagePath=name))[0].file_name == "x.jpg"
    text = CVAT.replace("a/x.jpg", name)
    (tmp_path / "x.xml").write_text(text)
    assert read_cvat(tmp_path / "x.xml")[0][0].file_name == "x.jpg"
    xml = XML.replace("x.jpg", name)
    assert read_voc(voc_folder(tmp_path, xml))[0][0].file_name == "x.jpg"
    with pytest.raises(ValueError, match="file name"):  # what goes out must be in order
        write_voc(tmp_path / "out", [Labelled(name, SIZE, ())], NAMES)
    assert not (tmp_path / "out").exists()


def test_plain_file_names_pass():
    for name in ("x.jpg", "train2017/000001.jpg", "Foto 1 (Kopie).png", "ünï/x", "contact.jpg", "..x"):
        assert checked_path(name) == name


BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>'
OUTSIDE = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>'
BAD_XML = {
    "bomb": (BOMB, "no entities"),
    "file": (OUTSIDE, "no entities"),
    "document type": (b"<!DOCTYPE annotation><annotation/>", "no document type"),
    "no XML": (b"\x89PNG", "no XML"),
    "nothing": (b"", "no XML"),
    "broken off": (XML.encode()[:-9], "no XML"),
    "odd letters": (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "no XML"),
    "no size": (b"<annotation/>", "height must be a whole number, got ''"),
    "huge": (XML.replace(">12<", ">999999999<", 1).encode(), "height or width must be a whole number"),
    "fraction": (XML.replace(">12<", ">12.5<", 1).encode(), "height must be a whole number"),
    "NaN": (XML.replace(">9<", ">nan<").encode(), "object 1: xmax must be a number, got 'nan'"),
    "power": (XML.replace(">9<", ">1e999<").encode(), "object 1: xmax must be a number"),
    "outside": (XML.replace(">9<", ">30<").encode(), "x must be a number"),
    "turned": (XML.replace(">9<", ">2<").encode(), "x0 < x1"),
    "another class": (XML.replace("dog", "gnu").encode(), "name must be one that the file lists, got 'gnu'"),
    "path": (XML.replace("x.jpg", "../..").encode(), "file name"),
}


@pytest.mark.parametrize("name", BAD_XML)
def test_bad_xml_is_refused(name, tmp_path):
    content, message = BAD_XML[name]
    with pytest.raises(ValueError, match=rf"x\.xml: .*{message}"):
        read_voc(voc_folder(tmp_path, content), ("cat", "dog"))


def test_deep_xml_does_no_harm(tmp_path):
    with pytest.raises(ValueError, match=r"x\.xml"):
        read_voc(voc_folder(tmp_path, b"<a>" * 50_000 + b"</a>" * 50_000), ("cat",))


def test_maps_of_another_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x\.xml: SegmentationObject: PNG must be 16 x 12"):
        read_voc(voc_folder(tmp_path, SegmentationObject=np.zeros((16, 12), np.uint8)))


def test_a_map_that_is_no_png_is_refused(tmp_path):
    voc_folder(tmp_path, SegmentationObject=np.zeros(SIZE, np.uint8))
    path = tmp_path / "SegmentationObject/x.png"
    for content in (b"GIF89a", b"", path.read_bytes()[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no sound PNG"):
            read_voc(tmp_path)


BAD_LABELME = {
    "no shapes": ({}, "shapes must be a list"),
    "no size": (labelme(imageHeight=None), "imageHeight and imageWidth"),
    "label a list": (labelme(thing("point", [[1, 1]], [])), r"shapes\[0\]: label must be one"),
    "unknown shape": (labelme(thing("helix", [[1, 1]])), "shape_type must be"),
    "shape a list": (labelme(thing([], [[1, 1]])), "shape_type must be"),
    "no points": (labelme(thing("polygon", [])), "points must be a list"),
    "a billion vertices": (labelme(thing("polygon", [[1, 1]] * 10**5)), "got a list of 100000"),
    "one corner": (labelme(thing("rectangle", [[1, 1]])), "shape_type must be"),
    "three numbers": (labelme(thing("point", [[1, 1, 1]])), "2 finite numbers"),
    "infinite": (labelme(thing("circle", [[1, 1], [NAN, 1]])), "2 finite numbers"),
    "no mask": (labelme(thing("mask", [[1, 1], [2, 2]])), "base64 text"),
    "mask outside": (labelme(thing("mask", [[1, 1], [99, 2]], mask="aaaa")), "must lie in the picture"),
    "mask rubbish": (labelme(thing("mask", [[1, 1], [2, 2]], mask="!")), "base64 text"),
    "mask no PNG": (labelme(thing("mask", [[1, 1], [2, 2]], mask="aaaa")), "no sound PNG"),
    "mask of another size": (
        labelme(thing("mask", [[1, 1], [2, 2]], mask=png(np.zeros((9, 9), bool)))),
        "PNG must be 2 x 2",
    ),
    "no picture": (labelme(imagePath=None, imageHeight=0), "height or width"),
    "path": (labelme(imagePath="a/.."), "file name"),
}


@pytest.mark.parametrize("name", BAD_LABELME)
def test_bad_labelme_is_refused(name):
    content, message = BAD_LABELME[name]
    with pytest.raises(ValueError, match=message):
        from_labelme(content)


JSON = {
    "NaN": (b'{"images": [NaN]}', "numbers must be finite, got NaN"),
    "infinite": (b'{"images": [-Infinity]}', "finite"),
    "deep": (b"[" * 200_000, "deep"),
    "digits": (b"[" + b"9" * 5000 + b"]", "no sound JSON"),
    "no UTF-8": (b"\xff\xfe\x00", "no sound JSON"),
    "no JSON": (b"{", "no sound JSON"),
}


@pytest.mark.parametrize("name", JSON)
def test_bad_json_is_refused(name, tmp_path):
    content, message = JSON[name]
    (tmp_path / "x.json").write_bytes(content)
    for read in (read_coco, read_labelme):
        with pytest.raises(ValueError, match=rf"x\.json: .*{message}"):
            read(tmp_path / "x.json")


def test_large_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    path = write_coco(tmp_path / "x.json", [], NAMES)
    path.write_bytes(path.read_bytes().ljust(1001))
    with pytest.raises(ValueError, match="at most 1000 bytes, got 1001"):
        read_coco(path)
    with pytest.raises(ValueError, match="at most 1000 bytes"):
        read_voc(voc_folder(tmp_path, XML.ljust(1001)))


def test_endless_drawing_is_refused(monkeypatch):
    monkeypatch.setattr(_common, "MAX_DRAWN", 3 * 5 * 5)
    square = [0, 0, 4, 0, 4, 4]
    from_coco(coco({"segmentation": [square] * 3}))
    with pytest.raises(ValueError, match="objects in pieces"):
        from_coco(coco({"segmentation": [square] * 4}))


def test_missing_files(tmp_path):
    for read in (read_coco, read_labelme):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="Annotations"):
        read_voc(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["images", "annotations", "categories"]),
    st.sampled_from(
        ["id", "file_name", "height", "image_id", "category_id", "bbox", "segmentation", "lecturekit", "name"]
    ),
    anything,
)
def test_whatever_stands_in_coco_is_read_or_refused(part, key, value):
    content = coco({"bbox": [1, 1, 2, 2], "segmentation": [[1, 1, 5, 1, 4, 4]]})
    content[part][0][key] = value
    with suppress(ValueError):
        assert_clean(*from_coco(content))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["shapes", "imagePath", "imageHeight", "flags", "label", "points", "shape_type", "mask"]),
    anything,
)
def test_whatever_stands_in_labelme_is_read_or_refused(key, value):
    content = labelme(thing("polygon", [[1, 1], [5, 1], [4, 4]]))
    (content if key in content else content["shapes"][0])[key] = value
    with suppress(ValueError):
        picture, names = from_labelme(content)
        assert_clean([picture], names)


def test_interchange_examples():
    assert doctest.testmod(interchange).failed == 0
