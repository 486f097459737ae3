"""The benchmark of labels runs on a small folder in VOC's layout and puts right numbers into its table."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("higra", reason="higra has no wheels for this machine")

from lecturekit.benchmarks.grabcut import mask_makers, run, shrunk
from lecturekit.datasets.voc import Picture

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures of a disc of class 3; in the second the box is all of the object."""
    root = tmp_path_factory.mktemp("voc")
    for part in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation"):
        (root / part).mkdir(parents=True)
    y, x = np.indices((60, 80))
    random = np.random.default_rng(0)
    for name, mask in (
        ("a", (y - 30) ** 2 + (x - 40) ** 2 <= 225),
        ("b", (abs(y - 30) < 15) & (abs(x - 40) < 15)),
    ):
        image = np.where(mask[..., None], (40, 110, 160), (150, 100, 60)) + random.normal(0, 10, (60, 80, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"JPEGImages/{name}.jpg", quality=95)
        Image.fromarray((mask * 3).astype(np.uint8)).save(root / f"SegmentationClass/{name}.png")
        rows, columns = np.nonzero(mask)
        corners = zip(
            ("xmin", "ymin", "xmax", "ymax"),
            (columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1),
            strict=True,
        )
        box = "".join(f"<{k}>{v}</{k}>" for k, v in corners)
        thing = f"<object><name>bird</name><bndbox>{box}</bndbox></object>"
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{thing}</annotation>")
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    return root


def test_table(folder):
    table = run(folder, votes=4)
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1] for line in table.splitlines() if line[:2] == "| "
    }
    assert {"Box (filled)", "GrabCut", "GrabCut+", "GrabCut+^i", "MCG", "M∩G+", *mask_makers()} <= set(rows)
    disc, square = 709, 29 * 29  # pixels of the objects; the disc's box is 31 x 31
    filled = [float(cell) for cell in rows["Box (filled)"][:3]]
    assert filled == [pytest.approx(100 * (disc + square) / (31 * 31 + square), abs=0.06), 100, 100]
    assert float(rows["GrabCut+"][0]) > filled[0] + 5
    assert float(rows["GrabCut, OpenCV"][5]) == 1
    assert "Relaxed cut, 2 boxes" in table


def test_a_shrunk_picture_keeps_its_proportions():
    picture = Picture(
        "p",
        np.zeros((100, 200, 3), np.uint8),
        np.ones((100, 200), np.uint8),
        np.array([[20.0, 10, 120, 90]]),
        np.array([1]),
    )
    small = shrunk(picture, 50)
    assert small.image.shape == (25, 50, 3)
    assert small.mask.shape == (25, 50)
    assert small.boxes.tolist() == [[5, 2.5, 30, 22.5]]
    assert shrunk(picture, 400).image.shape == picture.image.shape


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="VOC"):
        run(tmp_path)
