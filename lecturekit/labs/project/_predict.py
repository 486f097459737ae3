"""Masks for new pictures: one at a time, in the formats of other tools, going on where a break was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ...datasets.photos import load_photo
from ...kit import cache as disk
from ...kit.checks import choice
from ...kit.devices import pick_device
from ...kit.images import encoded
from ...kit.storage import replacing, write_atomic
from ...labels import shapes
from ...labels.interchange import Labelled, safe_path, to_coco, write_voc, yolo
from ...labels.interchange.masks import labelmap, png
from ...learning.features import Pictures
from ...learning.recipes import resized
from ...plots import PALETTE
from ._file import ANSWERS, Picture, Project, Skipped, picture_files
from ._seen import shrunk, small_size
from ._trained import Segmenter, Trained, answer, trained

#: Formats of the answers: `predict`.
FORMATS = ("png", "coco", "voc", "yolo")
#: Answers of larger pictures are worked out at this longer side and brought to the picture's size.
ANSWER_SIDE = 1024
#: Confidence is worked out on a grid so many times as fine as the network's.
FINER = 3
#: Longer side of the overlays.
OVERLAY_SIDE = 400
#: A connected piece of a class of fewer pixels than this share of the picture is no object.
LEAST_SHARE = 5e-4
#: Of more objects than VOC has numbers for, the largest are kept.
MOST_OBJECTS = 254


@dataclass(frozen=True)
class Predicted:
    """What came of `predict`.

    Attributes:
        folder: of the answers.
        pictures: how many have an answer now.
        skipped: files that could not be read, and why.
    """

    folder: Path
    pictures: int
    skipped: tuple[Skipped, ...]


def predict(
    project: Project,
    folder: str | Path,
    to: str = "png",
    out: str | Path | None = None,
    *,
    confidence: bool = True,
    overlays: bool = True,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Predicted:
    """The student's masks for all pictures of a folder and its subfolders.

    One picture at a time is in memory. A call that was stopped goes on with the pictures it had not finished;
    a picture that has changed, or another student, is answered anew.

    - ``png``: ``masks/NAME.png``, numbers of classes in VOC's colours, with ``labelmap.txt``;
    - ``voc``: ``Annotations/NAME.xml``, ``SegmentationClass`` and ``SegmentationObject``;
    - ``yolo``: ``labels/NAME.txt`` with outlines, and ``data.yaml``;
    - ``coco``: ``instances.json``, masks as runs, with scores.

    An object is a connected piece of a class. NAME is the file's name without ending; the folders before it
    stand in it with a dash.

    Args:
        project: with a student.
        folder: of the pictures.
        to: the format.
        out: where the answers go. None: ``masks`` in a folder beside the project file.
        confidence: also write ``confidence/NAME.png``: probability of each pixel's class, 255 for 1.
        overlays: also write ``overlays/NAME.jpg``, the masks over the picture.
        device: where to compute.
        progress: show a bar.

    Raises:
        FileNotFoundError: no folder, or no student yet.
        ValueError: another format, a folder without pictures, a damaged student.
        OSError: an answer cannot be written; those before it stay.
    """
    folder = Path(folder).expanduser()
    choice("to", to, FORMATS)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be one of pictures, got {str(folder)!r}")
    out = project.beside(f"masks-{to}") if out is None else Path(out).expanduser()
    names = _names(project, folder, out)
    if not names:
        raise ValueError(f"folder must hold pictures, got none in {str(folder)!r}")
    found = trained(project)
    work = _Work(project, found, found.network(device), pick_device(device), to, out, confidence, overlays)
    done = work.begun()
    skipped = []
    with open(work.log, "a", encoding="utf-8") as log:
        for file, name in tqdm(names.items(), desc="masks", leave=False, disable=not progress):
            path = folder / file
            try:
                stat = path.stat()
                now = [stat.st_size, stat.st_mtime_ns]
                if done.get(name) == [file, *now]:
                    continue
                image = load_photo(path)
                shapes.checked_size(image.shape[:2])
            except (OSError, ValueError) as error:
                skipped.append(Skipped(file, str(error).removeprefix(f"{path.name} ")))
                continue
            entry = work.answered(file, name, image)
            log.write(json.dumps({"name": name, "file": file, "stat": now, **entry}) + "\n")
            log.flush()
            done[name] = [file, *now]
    work.finish(set(names.values()))
    return Predicted(out, len(set(names.values()) & set(done)), tuple(skipped))


def answer_of(
    network: Segmenter, image: NDArray[np.uint8], side: int, device: torch.device | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Class and confidence of every pixel of one picture, uint8 and float32 ``(H, W)``.

    Pictures of more than `ANSWER_SIDE` pixels are answered at that size: their borders are as coarse. The
    confidence is worked out on a grid `FINER` times as fine as the network's own: at every pixel it would
    cost as much as the network.

    Args:
        network: of the students.
        image: uint8 RGB ``(H, W, 3)``, any size.
        side: as the network sees it.
        device: where the network is; None: the CPU.
    """
    size = (image.shape[0], image.shape[1])
    small = small_size(size, ANSWER_SIDE)
    with torch.inference_mode():
        logits = network(Pictures([image], side).batch([0]).to(device or "cpu"))[0]  # (K, h, w)
        fine = min(small[0], FINER * logits.shape[1]), min(small[1], FINER * logits.shape[2])
        confidence = answer(logits, fine).amax(0)
    labels = _largest(logits.float().cpu().numpy(), small)
    sure = cv2.resize(confidence.cpu().numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)
    return resized(labels, size), np.asarray(sure, np.float32)


def _largest(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The class with the largest logit at every pixel: a class at a time, which is several times as fast."""
    best = np.full(size, -np.inf, np.float32)
    labels = np.zeros(size, np.uint8)
    for k, one in enumerate(logits):
        wide = cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR)
        labels[wide > best] = k
        np.maximum(best, wide, out=best)
    return labels


def label_map(project: Project, picture: Picture | str, found: Trained | None = None) -> NDArray[np.uint8]:
    """The student's answer for a picture of the project, uint8 ``(H, W)``.

    Args:
        project: with a student.
        picture: one of its pictures, or its file name.
        found: the student, where it is at hand.
    """
    found = trained(project) if found is None else found
    return answer_of(found.network("cpu"), project.image(picture), found.side)[0]


def objects(labels: NDArray[np.uint8], confidence: NDArray[np.float32]) -> list[tuple[dict, float]]:
    """The connected pieces of the classes of a label map, as labels of kind ``mask`` with a score each.

    Args:
        labels: uint8 ``(H, W)``.
        confidence: float ``(H, W)``; a piece's score is its mean.
    """
    found = []
    height, width = labels.shape
    for number in (int(n) for n in np.unique(labels) if n):
        count_, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == number).astype(np.uint8))
        for k in range(1, count_):
            left, top, wide, high, area = stats[k].tolist()
            if area < max(1, LEAST_SHARE * labels.size):
                continue
            window = slice(top, top + high), slice(left, left + wide)
            piece = pieces[window] == k
            runs = shapes.encode_rle(np.pad(piece, ((top, height - top - high), (0, 0))))
            label = {
                "id": f"object-{len(found) + 1}",
                "kind": "mask",
                "class_index": number,
                "points": [],
                "milliseconds": 0,
                "size": [height, width],
                "counts": _widened(runs, left * height, (width - left - wide) * height),
            }
            found.append((label, float(confidence[window][piece].mean())))
    found.sort(key=lambda one: -sum(one[0]["counts"][1::2]))
    return found[:MOST_OBJECTS]


def _widened(runs: list[int], before: int, after: int) -> list[int]:
    """Runs of a strip of whole columns, with so many zeros before and after it."""
    runs = [runs[0] + before, *runs[1:]]
    if after and len(runs) % 2:
        return [*runs[:-1], runs[-1] + after]
    return [*runs, after] if after else runs


def _names(project: Project, folder: Path, out: Path) -> dict[str, str]:
    """The files that may be pictures, and the name of each one's answer: no two alike."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    inside = [one for one in picture_files(project, folder) if not (folder / one).is_relative_to(out)]
    for file in sorted(inside):
        flat = safe_path(str(Path(file).with_suffix("")).replace(os.sep, "/").replace("/", "-"))
        tries = (flat if n == 1 else f"{flat}-{n}" for n in count(1))
        names[file] = next(name for name in tries if name.lower() not in taken)
        taken.add(names[file].lower())
    return names


@dataclass(eq=False)
class _Work:
    """One call of `predict`."""

    project: Project
    trained: Trained
    network: Segmenter
    device: torch.device
    to: str
    out: Path
    confidence: bool
    overlays: bool

    @property
    def log(self) -> Path:
        """A line for each picture that is done, the first about the student."""
        return self.out / ANSWERS

    def begun(self) -> dict[str, list]:
        """The pictures that an earlier call has finished: name -> file, bytes and time."""
        students = [one.fingerprint() for one in self.trained.students]
        options = [self.to, self.confidence, self.overlays]
        about = {"student": disk.content_key(students, list(self.trained.classes), options)}
        if next(_lines(self.log), None) == about:
            done = {}
            with replacing(self.log) as file:  # without the half line of a call that was killed
                for line in _lines(self.log):  # one at a time: a line for COCO is long
                    file.write(json.dumps(line).encode() + b"\n")
                    if line != about:
                        done[line["name"]] = [line["file"], *line["stat"]]
            return done
        write_atomic(self.log, json.dumps(about) + "\n")
        names = self.trained.classes[1:]
        if self.to in ("png", "voc"):
            write_atomic(self.out / "labelmap.txt", labelmap(names))
        if self.to == "yolo":
            listed = "".join(f"  {k}: {json.dumps(n, ensure_ascii=False)}\n" for k, n in enumerate(names))
            write_atomic(self.out / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{listed}")
        return {}

    def put(self, name: str, data: bytes | str) -> None:
        """Write one file whole or not at all.

        Unlike `storage.write_atomic` it does not look through the folder, which may hold ten thousand files.
        """
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_bytes(data.encode() if isinstance(data, str) else data)
        beside.replace(path)

    def answered(self, file: str, name: str, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Write a picture's answer; gives what the log should hold of it."""
        labels, confidence = answer_of(self.network, image, self.trained.side, self.device)
        entry: dict[str, Any] = {}
        if self.to == "png":
            self.put(f"masks/{name}.png", png(labels))
        else:
            found = objects(labels, confidence)
            picture = Labelled(f"{name}{Path(file).suffix}", labels.shape, tuple(one for one, _ in found))
            if self.to == "voc":
                write_voc(self.out, [picture], self.trained.classes[1:])
            elif self.to == "yolo":
                self.put(f"labels/{name}.txt", _yolo(picture))
            else:
                entry = _coco(file, picture, [score for _, score in found], self.trained.classes[1:])
        if self.confidence:
            grey = encoded(np.rint(255 * confidence).astype(np.uint8), "PNG", compress_level=1)
            self.put(f"confidence/{name}.png", grey)
        if self.overlays:
            small = shrunk(image, OVERLAY_SIDE)
            shown = _overlay(small, resized(labels, (small.shape[0], small.shape[1])))
            self.put(f"overlays/{name}.jpg", encoded(shown, "JPEG", quality=80))
        return entry

    def finish(self, names: set[str]) -> None:
        """For COCO one file of all answers, written line by line."""
        if self.to != "coco":
            return
        categories = [{"id": k, "name": n} for k, n in enumerate(self.trained.classes[1:], 1)]
        numbers = count(1)
        with replacing(self.out / "instances.json") as file:
            file.write(b'{"info": {"description": "masks of a project of lecturekit"}, "images": [')
            images = (line["image"] | {"id": k} for k, line in enumerate(_latest(self.log, names), 1))
            _write_list(file, images)
            file.write(b'], "annotations": [')
            each = (
                one | {"id": next(numbers), "image_id": k}
                for k, line in enumerate(_latest(self.log, names), 1)
                for one in line["annotations"]
            )
            _write_list(file, each)
            file.write(f'], "categories": {json.dumps(categories)}}}\n'.encode())


def _overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As `plots.label_overlay`, in a tenth of its time."""
    table = np.rint(255 * np.array([to_rgb(colour) for colour in PALETTE[1:]])).astype(np.uint8)
    table = np.concatenate([table[:1], np.resize(table, (255, 3))])  # of each number, (256, 3)
    colours = cv2.LUT(cv2.merge([labels] * 3), table[None])
    mixed = cv2.addWeighted(image, 0.45, colours, 0.55, 0)
    return np.asarray(cv2.copyTo(image, (labels == 0).astype(np.uint8), mixed), np.uint8)


def _write_list(file: Any, entries: Iterator[dict]) -> None:
    for k, entry in enumerate(entries):
        file.write((",\n" if k else "\n").encode() + json.dumps(entry).encode())


def _lines(log: Path) -> Iterator[dict]:
    """The whole lines of a log."""
    if log.is_file():
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict):
                    yield found


def _latest(log: Path, names: set[str]) -> Iterator[dict]:
    """Of each picture that is still there the last line."""
    last = {line["name"]: k for k, line in enumerate(_lines(log)) if line.get("name") in names}
    for k, line in enumerate(_lines(log)):
        if line.get("name") in names and last[line["name"]] == k:
            yield line


def _yolo(picture: Labelled) -> str:
    """Lines with outlines, or with boxes where an outline would have too many corners."""
    try:
        return yolo.text_of(picture)
    except ValueError:
        return yolo.text_of(picture, outlines=False)


def _coco(file: str, picture: Labelled, scores: list[float], names: tuple[str, ...]) -> dict[str, Any]:
    """Image and annotations of one picture, as COCO has them."""
    content = to_coco([picture], names)
    image = {k: v for k, v in content["images"][0].items() if k != "lecturekit"} | {"file_name": file}
    annotations = [
        {k: v for k, v in one.items() if k != "lecturekit"} | {"score": round(score, 4)}
        for one, score in zip(content["annotations"], scores, strict=True)
    ]
    return {"image": image, "annotations": annotations}
