"""The reader of VOC folders, on a folder made here and on the real one where it is."""

import numpy as np
import pytest
from PIL import Image
from support import VOC as REAL

from lecturekit.datasets import voc

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
