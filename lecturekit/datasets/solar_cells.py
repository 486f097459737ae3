"""Solar cells under electroluminescence, with the probability that a cell is defective: weak labels at work.

The data are the ELPV benchmark, carried by the PyPI package ``elpv-dataset``: 2,624 cells cut out of pictures
of 44 photovoltaic modules. A current makes a cell glow; where it is dark, no current flows. Each cell has one
number for the whole picture and nothing says where the defect is. The pictures are licensed CC BY-NC-SA 4.0:
credit them (`CREDIT`), do not sell them, and pass on what you make of them under the same licence.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from ..kit.checks import whole
from ..labels.shapes import rasterise

#: One line for below a picture.
CREDIT_LINE = (
    "Solar cells: ELPV dataset, Buerhop-Lutz et al. 2018, Deitsch et al. 2019 and 2021; CC BY-NC-SA 4.0."
)

#: The papers that users of the pictures are asked to cite, and the licence.
CREDIT = """\
C. Buerhop-Lutz, S. Deitsch, A. Maier, F. Gallwitz, S. Berger, B. Doll, J. Hauch, C. Camus, C. J. Brabec:
  A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery,
  EU PVSEC 2018, https://doi.org/10.4229/35thEUPVSEC20182018-5CV.3.15
S. Deitsch, V. Christlein, S. Berger, C. Buerhop-Lutz, A. Maier, F. Gallwitz, C. Riess: Automatic
  classification of defective photovoltaic module cells in electroluminescence images, Solar Energy 185, 2019,
  https://doi.org/10.1016/j.solener.2019.02.067
S. Deitsch, C. Buerhop-Lutz, E. Sovetkin, A. Steland, A. Maier, F. Gallwitz, C. Riess: Segmentation of
  photovoltaic module cells in uncalibrated electroluminescence images, Machine Vision and Applications 32,
  2021, https://doi.org/10.1007/s00138-021-01191-9
Pictures and labels: CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/"""

#: Cells in the package, and the side of each picture in pixels.
CELLS, SIDE = 2624, 300

#: Width in pixels of a line that marks a crack.
CRACK = 8.0

#: What we marked by hand in twelve defective cells, by file: lines along cracks and outlines of dark areas,
#: drawn while looking at the cell alone, before any map of it was made. Points are x, y in pixels.
MARKS: dict[str, dict[str, list[list[tuple[int, int]]]]] = {
    "images/cell1306.png": {"cracks": [[(130, 10), (170, 60), (297, 190)]]},
    "images/cell0388.png": {
        "cracks": [
            [(5, 85), (180, 245), (140, 295)],
            [(245, 10), (100, 165)],
            [(180, 245), (290, 150)],
            [(5, 215), (75, 150)],
        ]
    },
    "images/cell0022.png": {
        "areas": [
            [(18, 60), (297, 60), (297, 148), (115, 148)],
            [(235, 2), (298, 2), (298, 45), (235, 45)],
        ]
    },
    "images/cell1128.png": {"cracks": [[(8, 52), (90, 122), (132, 148)], [(10, 242), (60, 228), (132, 240)]]},
    "images/cell0160.png": {"areas": [[(205, 82), (255, 88), (262, 5), (298, 5), (298, 130), (280, 135)]]},
    "images/cell1461.png": {"areas": [[(2, 100), (42, 145), (2, 152)]]},
    "images/cell0495.png": {
        "cracks": [
            [(155, 5), (150, 50), (15, 172)],
            [(150, 50), (208, 97), (285, 106)],
            [(208, 97), (200, 140), (250, 290)],
        ],
        "areas": [[(8, 152), (133, 296), (30, 296), (8, 200)]],
    },
    "images/cell0412.png": {"cracks": [[(10, 150), (158, 295)], [(240, 292), (285, 250)]]},
    "images/cell0882.png": {
        "cracks": [[(105, 10), (70, 88)], [(175, 180), (218, 230), (232, 295)]],
        "areas": [[(2, 85), (60, 85), (132, 120), (176, 178), (130, 220), (2, 220)]],
    },
    "images/cell0395.png": {
        "cracks": [[(65, 160), (69, 196)]],
        "areas": [[(228, 298), (298, 232), (298, 298)]],
    },
    "images/cell0367.png": {
        "cracks": [[(265, 50), (65, 292)], [(190, 190), (110, 296)]],
        "areas": [[(2, 155), (110, 158), (235, 152), (195, 198), (60, 175), (2, 240)]],
    },
    "images/cell0466.png": {
        "cracks": [[(5, 85), (180, 118), (298, 142)], [(143, 10), (183, 55), (210, 10)]],
        "areas": [[(150, 120), (185, 55), (212, 125)]],
    },
}


class SolarCells(NamedTuple):
    """Pictures of cells and what is known about them.

    Attributes:
        images: uint8 grey ``(N, 300, 300)``.
        defect: float64 ``(N,)``, the probability that the cell is defective: 0, 1/3, 2/3 or 1.
        kind: text ``(N,)``, ``"mono"`` or ``"poly"`` for mono- and polycrystalline silicon.
        marks: N times where the defects are, bool ``(300, 300)``, or None where nobody marked them. For
            judging maps only: no training may see them.
    """

    images: np.ndarray
    defect: np.ndarray
    kind: np.ndarray
    marks: tuple[np.ndarray | None, ...]


def solar_cells(count: int | None = None, seed: int = 0) -> SolarCells:
    """`count` cells drawn without replacement; only their files are read.

    The order is that of ``numpy.random.default_rng(seed)``, and a smaller `count` gives the first cells of a
    larger one.

    Args:
        count: 1 to 2624; None for all cells (236 MB of memory).
        seed: of the order, at least 0.

    Raises:
        ValueError: `count` or `seed` is something else.
        FileNotFoundError: the package ``elpv-dataset`` is not installed or incomplete.
    """
    whole("count", CELLS if count is None else count, 1, CELLS)
    whole("seed", seed)
    names, defect, kind = _labels(folder())
    chosen = np.random.default_rng(int(seed)).permutation(CELLS)[:count]
    images = np.empty((len(chosen), SIDE, SIDE), np.uint8)
    for image, name in zip(images, names[chosen], strict=True):
        image[:] = _read(folder() / name)
    return SolarCells(
        images, defect[chosen], kind[chosen], tuple(_marks(str(name)) for name in names[chosen])
    )


def drawn_cells(count: int, seed: int = 0) -> SolarCells:
    """Simple drawings in place of the pictures, for a machine without the package.

    About a third have one crack, and its place is marked exactly. What a network reaches on them says nothing
    about solar cells.
    """
    whole("count", count, 1)
    whole("seed", seed)
    rng = np.random.default_rng(seed)
    defect = (rng.random(count) < 1 / 3).astype(float)
    images, marks = zip(*(_drawn(rng, bool(d)) for d in defect), strict=True)
    return SolarCells(np.stack(images), defect, np.full(count, "mono"), marks)


def available() -> bool:
    """Is the package with the pictures installed?"""
    return importlib.util.find_spec("elpv_dataset") is not None


def folder() -> Path:
    """Where the installed package keeps its data; ``FileNotFoundError`` where it is not installed."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "the pictures of solar cells (91 MB, CC BY-NC-SA 4.0) are not installed; get them with: "
            'python -m pip install "lecturekit[solar]" (or: python -m pip install elpv-dataset)'
        )
    return Path(found.origin).parent / "data"


def _marks(name: str) -> np.ndarray | None:
    """Where the hand marks of one picture are, bool ``(300, 300)``; None if it has none."""
    if name not in MARKS:
        return None
    lines = [{"kind": "scribble", "points": p, "width": CRACK} for p in MARKS[name].get("cracks", [])]
    areas = [{"kind": "polygon", "points": p} for p in MARKS[name].get("areas", [])]
    return np.any([rasterise(label, (SIDE, SIDE)) for label in lines + areas], axis=0)


def _drawn(rng: np.random.Generator, defective: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """A glowing plate with three busbars and, if it is defective, a crack; and where the crack is."""
    image = rng.normal(170, 6, (SIDE, SIDE)) + np.linspace(-20, 20, SIDE) * rng.normal()
    for y in (50, 150, 250):
        image[y - 2 : y + 3, 10:-10] -= 70
    crack = np.zeros((SIDE, SIDE), np.uint8)
    if defective:
        points = np.cumsum(rng.integers(-70, 70, (4, 2)), axis=0) + rng.integers(80, 220, 2)
        cv2.polylines(crack, [points.astype(np.int32)], False, 1, thickness=3)
    image -= 60.0 * crack
    image = cv2.GaussianBlur(image.clip(0, 255).astype(np.uint8), (0, 0), 1)
    return image, cv2.dilate(crack, np.ones((3, 3))) > 0 if defective else None


def _labels(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """File names, defect probabilities and kinds of all cells, in the order of ``labels.csv``."""
    file = data / "labels.csv"
    if not file.is_file():
        raise FileNotFoundError(f"labels.csv is missing in the installed elpv-dataset. {_AGAIN}")
    columns = np.array([line.split() for line in file.read_text(encoding="utf-8").splitlines() if line])
    if columns.shape != (CELLS, 3):
        raise ValueError(f"labels.csv must be a table of {CELLS} x 3, got {columns.shape}. {_AGAIN}")
    return columns[:, 0], columns[:, 1].astype(float), columns[:, 2]


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in the installed elpv-dataset. {_AGAIN}")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


_AGAIN = "Install it again: python -m pip install --force-reinstall --no-deps elpv-dataset"
