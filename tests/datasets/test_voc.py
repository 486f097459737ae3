"""The reader of VOC folders, on a folder made here and on the real one where it is."""

import numpy as np
import pytest
from PIL import Image
from support import VOC as REAL

from lecturekit.datasets import voc
from lecturekit.labels.interchange.masks import COLOURS

XML = """<annotation><object><name>cat</name><bndbox><xmin>2</xmin><ymin>1</ymin><xmax>3</xmax><ymax>2</ymax>
</bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path):
    for part in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation"):
        (tmp_path / part).mkdir(parents=True)
    mask = np.zeros((3, 4), np.uint8)
    mask[0:2, 1:3], mask[2, 3] = 8, 255
    labels = Image.fromarray(mask, "P")
    labels.putpalette(list(range(256)) * 3)
    labels.save(tmp_path / "SegmentationClass/a.png")
    Image.new("RGB", (4, 3), "red").save(tmp_path / "JPEGImages/a.jpg")
    (tmp_path / "Annotations/a.xml").write_text(XML, encoding="utf-8")
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("a\n", encoding="utf-8")
    return tmp_path


def test_boxes_are_half_open_and_from_zero(folder):
    picture = voc.VOC(folder)[0]
    assert picture.boxes.tolist() == [[1, 0, 3, 2]]
    assert [voc.CLASSES[k] for k in picture.classes] == ["cat"]
    x0, y0, x1, y1 = picture.boxes[0].astype(int)
    assert (picture.mask[y0:y1, x0:x1] == 8).all()
    assert picture.labels == {8}
    assert picture.image.shape == (3, 4, 3)


def test_a_missing_part_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"val\.txt"):
        voc.VOC(folder, "val")
    with pytest.raises(FileNotFoundError, match="VOC folder"):
        voc.VOC(folder / "nowhere")


@pytest.mark.skipif(not REAL.is_dir(), reason="the VOC subset is not on this machine")
def test_masks_of_the_real_folder_lie_in_their_boxes():
    pictures = voc.VOC(REAL, "train")
    inside, total = 0, 0
    for k in range(0, len(pictures), 20):
        picture = pictures[k]
        covered = np.zeros(picture.mask.shape, bool)
        for x0, y0, x1, y1 in picture.boxes.astype(int):
            covered[y0:y1, x0:x1] = True
        thing = (picture.mask > 0) & (picture.mask < 255)
        inside, total = inside + (covered & thing).sum(), total + thing.sum()
    assert inside / total > 0.95


# ------------------------------------------------------------------ faults are said with the file's name


def test_masks_in_colour_are_turned_back(folder):
    path = folder / "SegmentationClass/a.png"
    wanted = voc.VOC(folder)[0].mask
    for mode in ("RGB", "RGBA"):
        picture = Image.fromarray(wanted)
        picture.putpalette(COLOURS.tobytes())
        picture.convert(mode).save(path)
        assert np.array_equal(voc.VOC(folder)[0].mask, wanted)


OBJECT = "<annotation><object><name>{}</name><bndbox>{}</bndbox></object></annotation>"
BOX = "<xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
XML_FAULTS = {
    "unknown class": (OBJECT.format("gnu", BOX), r"Annotations/a\.xml: object 1: name .* got 'gnu'"),
    "background": (OBJECT.format("background", BOX), "name must be one of VOC's classes"),
    "no name": (OBJECT.format("", BOX), "name must be one of"),
    "broken XML": ("<annotation><object>", r"Annotations/a\.xml: this is no XML"),
    "entities": ('<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', "no entities"),
    "side missing": (OBJECT.format("cat", BOX[14:]), "object 1: xmin must be a number, got None"),
    "no number": (OBJECT.format("cat", BOX.replace("2", "two")), "xmax must be a number"),
    "turned": (OBJECT.format("cat", BOX.replace("1", "3")), "min <= max"),
}
FAULTS = {name: ("Annotations/a.xml", *fault) for name, fault in XML_FAULTS.items()} | {
    "no JPEG": ("JPEGImages/a.jpg", "GIF89a", r"JPEGImages/a\.jpg is no sound JPEG"),
    "no PNG": ("SegmentationClass/a.png", "GIF89a", r"SegmentationClass/a\.png: this is no sound PNG"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_is_not_in_order_is_named(name, folder):
    file, content, message = FAULTS[name]
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        voc.VOC(folder)[0]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((3, 3), np.uint8), "PNG must be"),
        (np.full((3, 3, 3), 77, np.uint8), "PNG must be"),
        ("alien", r"a\.png: classes must be 0\.\.20 or 255, got \[99\]"),
        ("colour", r"a\.png: PNG must have colours of classes only, got \(1, 2, 3\)"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, message, folder):
    shape = voc.VOC(folder)[0].mask.shape
    if isinstance(mask, str):
        mask = np.full(shape, 99, np.uint8) if mask == "alien" else np.full((*shape, 3), (1, 2, 3), np.uint8)
    Image.fromarray(mask).save(folder / "SegmentationClass/a.png")
    with pytest.raises(ValueError, match=message):
        voc.VOC(folder)[0]


def test_a_missing_file_is_named(folder):
    (folder / "Annotations/a.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.xml"):
        voc.VOC(folder)[0]


def test_a_thin_picture_shrinks_to_a_pixel_at_least():
    image, mask = np.zeros((400, 1, 3), np.uint8), np.zeros((400, 1), np.uint8)
    thin = voc.Picture("a", image, mask, np.zeros((0, 4)), np.zeros(0, int))
    assert voc.shrunk(thin, 4).mask.shape == (4, 1)
    with pytest.raises(ValueError, match="side"):
        voc.shrunk(thin, 0)
