"""Refreshed notebooks are lean and repeatable, and a notebook with a fault stays as it was."""

import base64
import io

import nbformat
import numpy as np
import pytest
from nbformat import v4
from PIL import Image, ImageDraw
from skimage import data
from typer.testing import CliRunner

from lecturekit.kit.images import html_image
from lecturekit.upkeep import cli
from lecturekit.upkeep import refresh as refreshing
from lecturekit.upkeep.refresh import Refused, clean, refresh, smallest
from lecturekit.upkeep.rules import WIDGET_VIEW


def written(path, *sources, metadata=None):
    """A notebook file with these code cells."""
    cells = [v4.new_code_cell(source, metadata=metadata or {}) for source in sources]
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("# Tiny"), *cells]), path)
    return path


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), dtype=float)


def loss(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    return 10 * np.log10(255**2 / max(((a - b) ** 2).mean(), 1e-9))


PROGRESS = "import sys\nfrom tqdm import tqdm\nfor i in tqdm(range(3)):\n    print(i, flush=True)"
BAR = "from tqdm.notebook import tqdm\nfor i in tqdm(range(3)):\n    pass"
SLIDER = "import ipywidgets\nipywidgets.IntSlider(description='share')"
EMPTY_DATA = """from lecturekit.kit.storage import data_dir
print(sorted(data_dir().iterdir()))
(data_dir() / 'x').touch()"""
PICTURE = """import numpy as np
from IPython.display import HTML
from lecturekit.kit.images import encoded, html_image
noise = np.random.default_rng(0).integers(0, 9, (64, 64, 3), 'u1') * 28
HTML(html_image(encoded(noise), 'coloured "noise" & more', 64))"""


def test_what_a_refreshed_notebook_holds_and_that_it_repeats(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "readers_own"))
    path = written(
        tmp_path / "tiny.ipynb",
        *(PROGRESS, BAR, SLIDER, EMPTY_DATA, PICTURE),
        metadata={"execution": {"iopub.status.busy": "now"}, "collapsed": True, "tags": ["kept"]},
    )
    size = refresh(path)
    first = path.read_bytes()
    assert size == len(first)
    refresh(path)
    assert path.read_bytes() == first
    assert not (tmp_path / "readers_own").exists()

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    progress, bar, slider, empty, picture = notebook.cells[1:]
    assert [c.execution_count for c in notebook.cells[1:]] == [1, 2, 3, 4, 5]
    assert [(o.name, o.text) for o in progress.outputs] == [("stdout", "0\n1\n2\n")]
    assert bar.outputs == []
    assert slider.outputs[0].data == {"text/plain": "IntSlider(value=0, description='share')"}
    assert empty.outputs[0].text == "[]\n"
    html = picture.outputs[0].data["text/html"]
    assert html.startswith(
        '<img alt="coloured &quot;noise&quot; &amp; more" width="64" src="data:image/webp;base64,'
    )
    assert all(c.metadata == {"tags": ["kept"]} for c in notebook.cells[1:])
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import time; time.sleep(600)", "timed out"),
        ("import os; os._exit(1)", "died"),
        ("object()", "no_machine_traces: cell 1: '0x"),
        ("import sys; print('mind', file=sys.stderr)", "no_errors: cell 1: stderr: mind"),
    ],
)
def test_a_notebook_with_a_fault_stays_as_it_was(tmp_path, source, reason):
    path = written(tmp_path / "faulty.ipynb", source)
    before = path.read_bytes()
    with pytest.raises(Refused, match=reason):
        refresh(path, timeout=2 if "sleep" in source else 600)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def outputs_instead_of_a_run(monkeypatch, *outputs):
    def execute(notebook, *_):
        for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
            cell.execution_count, cell.outputs = count, [nbformat.from_dict(o) for o in outputs]

    monkeypatch.setattr(refreshing, "execute", execute)


def test_too_large_a_notebook_is_refused_with_its_biggest_cell(tmp_path, monkeypatch):
    outputs_instead_of_a_run(monkeypatch, v4.new_output("stream", name="stdout", text="x" * 400_000))
    with pytest.raises(Refused, match=r"the limit 400 KB; biggest: cell 1: 400 KB"):
        refresh(written(tmp_path / "large.ipynb", "pass"))


def test_a_picture_without_alt_text_is_refused(tmp_path, monkeypatch):
    picture = {"image/png": base64.b64encode(png(Image.new("RGB", (4, 4)))).decode()}
    outputs_instead_of_a_run(monkeypatch, v4.new_output("display_data", data=picture))
    with pytest.raises(Refused, match="images_have_alt_text: cell 1"):
        refresh(written(tmp_path / "mute.ipynb", "pass"))


def test_the_command_goes_on_after_a_refusal_and_fails_at_the_end(tmp_path, monkeypatch):
    outputs_instead_of_a_run(monkeypatch)
    good, bad = written(tmp_path / "good.ipynb", "pass"), written(tmp_path / "bad.ipynb", "'/tmp/secret'")
    result = CliRunner().invoke(cli.app, ["refresh", str(bad), str(good)])
    assert result.exit_code == 1
    assert "bad.ipynb: left as it was\nno_machine_traces: cell 1: '/tmp/secret'" in result.output
    assert "good.ipynb: 1 KB" in result.output
    assert CliRunner().invoke(cli.app, ["refresh", str(good)]).exit_code == 0
    assert CliRunner().invoke(cli.app, ["refresh", str(tmp_path / "none.ipynb")]).exit_code == 2


def test_a_widget_leaves_its_still_picture(monkeypatch):
    red = Image.new("RGB", (4, 4), "red")
    still = html_image(png(red), "a still", 5)
    cell = v4.new_code_cell("explorer")
    cell.outputs = [
        v4.new_output(
            "execute_result",
            {WIDGET_VIEW: {"model_id": "a"}, "text/html": still, "text/plain": "Explorer"},
            execution_count=1,
        ),
        v4.new_output("display_data", {WIDGET_VIEW: {"model_id": "b"}}),
    ]
    notebook = v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    clean(notebook)
    (kept,) = cell.outputs
    assert set(kept.data) == {"text/html", "text/plain"}
    head, file = kept.data["text/html"].split("base64,")
    assert head == '<img alt="a still" width="5" src="data:image/webp;'
    np.testing.assert_array_equal(pixels(base64.b64decode(file[:-2])), np.asarray(red, dtype=float))
    assert "widgets" not in notebook.metadata


def line_art() -> Image.Image:
    image = Image.new("RGB", (240, 160), "white")
    draw = ImageDraw.Draw(image)
    for k in range(0, 240, 40):
        draw.line([(k, 0), (240 - k, 159)], fill=(k % 256, 90, 200 - k // 4), width=2)
    return image


def photograph() -> Image.Image:
    """Small: WebP's exact form, which is tried, too, takes seconds for four times the pixels."""
    return Image.fromarray(data.chelsea()[60:140, 120:220])


def test_line_art_stays_sharp_and_photographs_become_small():
    mime, encoded = smallest(png(line_art()))
    assert mime == "image/webp"
    assert len(encoded) < len(png(line_art()))
    np.testing.assert_array_equal(pixels(encoded), np.asarray(line_art()))  # few colours: nothing is lost

    cat = photograph()
    mime, encoded = smallest(png(cat))
    assert mime == "image/webp"
    assert len(encoded) < len(png(cat)) / 5
    assert loss(pixels(encoded), np.asarray(cat, dtype=float)) > 31
    assert encoded == smallest(png(cat))[1]


def test_many_colours_of_line_art_become_256_without_blur():
    soft = line_art().resize((120, 80), Image.Resampling.LANCZOS)
    assert soft.getcolors(256) is None
    _, encoded = smallest(png(soft))
    assert Image.open(io.BytesIO(encoded)).convert("RGB").getcolors(256)
    assert loss(pixels(encoded), np.asarray(soft, dtype=float)) > 34


def test_a_transparent_picture_keeps_its_transparency():
    image = photograph().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    _, encoded = smallest(png(image))
    alpha = np.asarray(Image.open(io.BytesIO(encoded)))[..., 3].astype(int)
    assert np.abs(alpha - np.asarray(image)[..., 3]).max() <= 8


def test_a_figure_is_committed_at_eight_tenths_of_its_size_on_the_page():
    cat = photograph()
    assert Image.open(io.BytesIO(smallest(png(cat), 50)[1])).width == 40
    assert Image.open(io.BytesIO(smallest(png(cat), 2000)[1])).size == cat.size


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "LA", "RGBA"])
def test_every_kind_of_png_looks_as_before(mode):
    white = Image.new("L", (20, 10), 255)
    image = Image.new(mode, white.size, 30_000) if mode == "I;16" else white.convert(mode)
    before = png(image)
    _, encoded = smallest(before)
    np.testing.assert_array_equal(pixels(encoded), pixels(before))
