"""What is kept of a widget for the site: enough to work, little enough to travel, under the right cell."""

import base64
import io
import json
import pkgutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from support import ROOT

import lecturekit
from lecturekit.exercises import annotation_cost
from lecturekit.labs.interactive import stroke
from lecturekit.publish import frames, live, pages, reference
from lecturekit.upkeep.refresh import execute
from lecturekit.widgets.annotator import Annotator
from lecturekit.widgets.box_lab import BoxLab, Choice, Drawn, Slider
from lecturekit.widgets.cam_explorer import COLOURS, CamExplorer
from lecturekit.widgets.scribble_lab import ScribbleLab

RNG = np.random.default_rng(5)
IMAGE = np.kron(RNG.integers(0, 256, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
DATA = sorted(path for path in live.DATA.glob("*/*") if path.is_dir())


def about(folder: Path) -> dict:
    return json.loads((folder / "about.json").read_text(encoding="utf-8"))


def test_an_explorer_is_kept_at_half_the_bytes(tmp_path):
    maps = RNG.normal(0, 5, (9, 7, 7)).astype(np.float32)
    names = [f"class {k}" for k in range(9)]
    widget = CamExplorer(IMAGE, maps, names, logits=maps.mean((1, 2)), class_index=4, threshold=0.3)
    live.write(widget, tmp_path / "cell")
    kept = about(tmp_path / "cell")
    numbers = np.frombuffer((tmp_path / "cell" / kept["state"]["_maps"]["$half"]).read_bytes(), "<f2")
    assert kept["widget"] == "cam_explorer"
    assert numbers.nbytes == maps.nbytes / 2
    np.testing.assert_allclose(numbers.reshape(maps.shape), maps, rtol=1e-3)
    assert len(base64.b64decode(kept["state"]["_tables"]["$base64"])) == 768 * len(COLOURS)
    assert (kept["state"]["class_index"], kept["state"]["threshold"]) == (4, 0.3)
    shown = np.asarray(Image.open(tmp_path / "cell" / kept["state"]["_image"]["$pixels"]).convert("RGB"))
    assert np.abs(shown.astype(int) - IMAGE).mean() < 8


def test_many_large_maps_are_kept_in_eight_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "MAX_HALF", 1000)
    maps = {"small": RNG.normal(0, 5, (3, 7, 7)), "large": np.float32(RNG.uniform(2, 3, (3, 20, 30)))}
    maps["small"][1] = 4.5  # a flat map
    widget = CamExplorer(IMAGE, maps, ["a", "b", "c"])
    live.write(widget, tmp_path / "cell")
    for told, wanted in zip(
        about(tmp_path / "cell")["state"]["_maps"]["$scaled"], maps.values(), strict=True
    ):
        shares = np.asarray(Image.open(tmp_path / "cell" / told["file"])).reshape(wanted.shape) / 255
        low, high = np.array(told["ranges"]).T[..., None, None]
        np.testing.assert_allclose(low + (high - low) * shares, wanted, atol=float((high - low).max()) / 500)


def test_nothing_that_only_a_front_end_needs_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    live.write(Annotator(IMAGE, ["cat", "dog"], key="mine"), tmp_path / "cell")
    kept = about(tmp_path / "cell")
    assert not [name for name in kept["state"] if name.startswith(("_model", "_view", "_esm", "_css"))]
    assert kept["file"]["name"] == "mine.json"
    assert kept["file"]["classes"] == ["cat", "dog"]
    picture = Image.open(tmp_path / "cell" / kept["state"]["_image"]["$bytes"]).convert("RGB")
    assert (np.asarray(picture) == IMAGE).all()


def lab(**controls) -> BoxLab:
    def draw(**values):
        return Drawn(np.full((8, 8, 3), 40 * len(str(values)) % 255, np.uint8), f"{values}")

    return BoxLab(draw, controls)


def test_a_lab_keeps_every_position_of_its_last_slider(tmp_path):
    widget = lab(
        kind=Choice("kind", ("a", "b"), "a"), fine=Slider("fine", 0, 1, 0.01, 0.5), n=Slider("n", 1, 4, 1, 2)
    )
    live.write(widget, tmp_path / "cell")
    kept = about(tmp_path / "cell")
    assert list(kept["drawn"]) == [f"{kind}|{n}" for kind in "ab" for n in range(1, 5)]
    assert kept["drawn"]["b|3"]["words"] == str({"kind": "b", "fine": 0.5, "n": 3})
    assert [c["name"] for c in kept["state"]["_controls"]] == ["kind", "n"]
    assert kept["state"]["values"] == {"kind": "a", "n": 2}
    assert "can also change: fine" in kept["note"]
    assert {one["file"] for one in kept["drawn"].values()} == {
        p.name for p in (tmp_path / "cell").glob("*.webp")
    }


def test_a_lab_without_a_slider_keeps_every_choice():
    assert live.stored_axes(lab(maker=Choice("maker", ("x", "y", "z"), "x"))) == (["maker"], [])


def test_a_list_beside_a_long_slider_is_kept_choice_by_choice(tmp_path):
    widget = lab(arrow=Choice("arrow", tuple("abc"), "b"), scene=Slider("scene", 0, 31, 1, 8))
    live.write(widget, tmp_path / "cell")
    kept = about(tmp_path / "cell")
    assert sorted(kept["drawn"]) == sorted([f"b|{n}" for n in range(32)] + ["a|8", "c|8"])
    assert "A change of arrow starts anew" in kept["note"]


def test_a_scribble_lab_is_kept_stroke_by_stroke(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    strokes = [stroke(1 + k % 2, [(10 + 20 * k, 10), (10 + 20 * k, 40)], 4) for k in range(4)]
    taught = []

    def learn(seen):
        taught.append(len(np.unique(seen)) - 1)
        return np.full(seen.shape, len(taught) % 2)

    widget = ScribbleLab(IMAGE, ["ground", "thing"], learn, "kept", strokes[:3], strokes[3:])
    live.write(widget, tmp_path / "cell")
    kept = about(tmp_path / "cell")
    assert kept["widget"] == "box_lab"
    assert kept["state"]["values"] == {"strokes": 3}
    assert list(kept["drawn"]) == ["2", "3", "4"]
    assert "2 on ground, 2 on thing" in kept["drawn"]["4"]["words"]
    assert "a student learns" in kept["note"]
    assert widget.annotator.labels == strokes[:3]  # nothing was drawn in the lab itself
    with pytest.raises(ValueError, match="count"):
        widget.replay(5)


def test_the_box_is_drawn_into_the_stored_picture(tmp_path):
    widget = BoxLab(
        lambda box, maker: Drawn(np.full((20, 30, 3), 128, np.uint8), f"{box}"),
        {"maker": Choice("maker", ("x",), "x")}, [5, 4, 25, 16], (20, 30),
    )  # fmt: skip
    live.write(widget, tmp_path / "cell")
    kept = about(tmp_path / "cell")
    file = (tmp_path / "cell" / kept["drawn"]["x"]["file"]).read_bytes()
    picture = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
    assert picture[4, 15] > 200
    assert picture[15, 5] > 200
    assert abs(int(picture[10, 15]) - 128) < 10
    assert kept["state"]["box"] == []


def test_a_notebook_that_runs_leaves_its_widgets_under_their_cells(tmp_path, monkeypatch):
    sources = [
        "from lecturekit.widgets.box_lab import *\nimport numpy as np",
        "   ",
        "draw = lambda n: Drawn(np.zeros((4, 4, 3), np.uint8), str(n))",
        "BoxLab(draw, {'n': Slider('n', 0, 2, 1, 1)})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "x.ipynb"
    monkeypatch.setattr(live, "ROOT", tmp_path)
    monkeypatch.setattr(live, "DATA", tmp_path / "data")
    execute(notebook, path.parent, live.environment(tmp_path / "made", path))
    live.keep(notebook, tmp_path / "made", path)
    assert [path.name for path in (tmp_path / "data" / "x").iterdir()] == [notebook.cells[3].id]
    assert list(about(tmp_path / "data" / "x" / notebook.cells[3].id)["drawn"]) == ["0", "1", "2"]


def test_of_a_notebook_elsewhere_nothing_is_watched_and_nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "ROOT", tmp_path)
    monkeypatch.setattr(live, "DATA", tmp_path / "data")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", id="one")])
    (tmp_path / "made" / "widgets" / "0").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere" / "x.ipynb"
    assert live.environment(tmp_path / "made", elsewhere) == {}
    live.keep(notebook, tmp_path / "made", elsewhere)
    assert not (tmp_path / "data").exists()
    live.keep(notebook, tmp_path / "made", tmp_path / "notebooks" / "x.ipynb")
    assert (tmp_path / "data" / "x" / "one").is_dir()


@pytest.mark.parametrize("folder", DATA, ids=[f"{path.parent.name}/{path.name}" for path in DATA])
def test_what_is_kept_belongs_to_a_cell_that_shows_such_a_widget(folder):
    notebook = nbformat.read(ROOT / "notebooks" / f"{folder.parent.name}.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == folder.name)
    plain = "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    names = {
        "cam_explorer": ["CamExplorer"],
        "annotator": ["Annotator"],
        "box_lab": ["BoxLab", "ArrowLab", "ScribbleLab"],
    }
    assert plain.startswith(tuple(names[about(folder)["widget"]]))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_quiz_gets_a_frame(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    shows = [cell for cell in notebook.cells if cell.source.strip().endswith(".show()")]
    framed = frames.Frames(tmp_path, path, notebook.cells)
    assert shows
    assert all("lk-live" in (framed(cell) or "") for cell in shows)


def test_a_quiz_is_kept_with_its_answers():
    kept = frames.quiz_about(annotation_cost.after_annotation)
    first = annotation_cost.after_annotation.questions[0]
    assert kept["answers"][0] == [[option.correct, option.feedback] for option in first.options]
    assert kept["state"]["questions"][0]["text"] == first.text


def test_every_public_module_has_a_page_that_is_listed():
    texts = reference.pages()
    described = "".join(texts.values())
    for module in pkgutil.walk_packages(lecturekit.__path__, "lecturekit."):
        public = not any(part.startswith("_") for part in module.name.split("."))
        assert (f".. automodule:: {module.name}\n" in described) == public
    listed = [name for name in texts if any(f"   {name}\n" in text for text in texts.values())]
    assert sorted([*listed, "index"]) == sorted(texts)


def test_links_of_an_output_lead_to_pages(tmp_path):
    html = '<a href="05_class_activation_maps.ipynb#Exercise:-The-class-activation-map">x</a>'
    html += '<a href="05_class_activation_maps.ipynb#Exercise:-Renamed">y</a><a href="a.ipynb">z</a>'
    cell = nbformat.v4.new_code_cell(
        "1", outputs=[nbformat.v4.new_output("display_data", {"text/html": html})]
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    pages.put_figures_aside(notebook, tmp_path, lambda cell: None)
    shown = notebook.cells[0].outputs[0].data["text/html"]
    assert 'href="05_class_activation_maps.html#exercise-the-class-activation-map"' in shown
    assert 'href="05_class_activation_maps.html">y' in shown
    assert 'href="a.html"' in shown
