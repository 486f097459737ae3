"""The look of figures: what an overlay shows, colours that can be told apart, a text for every picture."""

from __future__ import annotations

import base64
import io
import re
import warnings
from itertools import combinations

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from lecturekit import plots


@pytest.fixture(autouse=True)
def own_figures():
    """Figures and settings of one test do not reach the next."""
    with matplotlib.rc_context():
        yield
    plt.close("all")


def image(height=12, width=18) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def map_of(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


# ---------------------------------------------------------------- colours


def _luminance(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


#: what is left of linear RGB without one kind of cone (Viénot, Brettel and Mollon, 1999)
BLINDNESS = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("kind", ["none", *BLINDNESS])
def test_palette_can_be_told_apart(kind):
    colours = np.array([to_rgb(colour) for colour in plots.PALETTE])
    assert len(colours) == 8
    seen = (
        colours
        if kind == "none"
        else np.clip((colours**2.2) @ np.transpose(BLINDNESS[kind]), 0, 1) ** (1 / 2.2)
    )
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.1


def test_evidence_is_brighter_the_more_there_is():
    ramp = torch.linspace(0, 1, 256)[None]
    brightness = _luminance(plots.colour_map(ramp)[0])
    assert (np.diff(brightness) > 0).all()


def test_signed_evidence_blue_against_white_nothing_red_for():
    against, nothing, evidence = plots.colour_map(map_of([-2, 0, 2]), signed=True)[0]
    assert against[2] > against[0] + 0.2
    assert evidence[0] > evidence[2] + 0.2
    assert nothing.min() > 0.95
    # the larger side sets the scale for both
    half, full = (
        plots.colour_map(map_of([-1, 2]), signed=True)[0],
        plots.colour_map(map_of([-2, 2]), signed=True)[0],
    )
    deep = plots.colour_map(map_of([-4, 2]), signed=True)[0]
    assert half[0].min() > full[0].min()
    assert deep[1].min() > full[1].min()
    np.testing.assert_array_equal(half[1], full[1])


def test_unsigned_colours_hide_what_speaks_against():
    with_negative, without = plots.colour_map(map_of([-5, 0, 1]))[0], plots.colour_map(map_of([0, 0, 1]))[0]
    np.testing.assert_array_equal(with_negative, without)
    np.testing.assert_allclose(with_negative[2], matplotlib.colormaps[plots.EVIDENCE](1.0)[:3])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.lists(st.sampled_from([0.0, -1.0, 2.0, 6e4, -6e4, 6e-5, -6e-5, 3.0]), min_size=4, max_size=4),
    st.booleans(),
)
def test_colours_of_any_map_are_colours(dtype, values, signed):
    one = torch.tensor(values, dtype=dtype).reshape(2, 2)
    colours = plots.colour_map(one, signed)
    assert colours.shape == (2, 2, 3)
    assert np.isfinite(colours).all()
    assert colours.min() >= 0
    assert colours.max() <= 1
    if not one.any():
        assert (colours == colours[0, 0]).all()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (torch.rand(1, 3, 3), ValueError),
        (torch.rand(3), ValueError),
        (torch.full((3, 3), torch.nan), ValueError),
        (torch.ones(3, 3, dtype=torch.int64), TypeError),
        (np.ones((3, 3)), TypeError),
    ],
    ids=["batch", "row", "nan", "integers", "array"],
)
def test_colour_map_of_bad_maps(bad, error, signed):
    with pytest.raises(error, match="map"):
        plots.colour_map(bad, signed)
    with pytest.raises(error, match="map"):
        plots.overlay(image(), bad, signed)


# ---------------------------------------------------------------- overlay


def test_opacity_goes_from_the_picture_to_the_map():
    picture, one = image(), torch.rand(3, 3)
    np.testing.assert_array_equal(plots.overlay(picture, one, opacity=0), picture)
    only_map = plots.overlay(picture, one, opacity=1)
    np.testing.assert_array_equal(only_map, plots.overlay(255 - picture, one, opacity=1))
    half = plots.overlay(picture, one, opacity=0.5).astype(int)
    assert np.abs(half - (picture.astype(int) + only_map) / 2).max() <= 1


@pytest.mark.parametrize("signed", [True, False])
def test_overlay_is_a_picture_of_the_same_size(signed):
    for one in (
        torch.randn(3, 3),
        torch.randn(3, 3).half(),
        torch.randn(5, 2, requires_grad=True),
        torch.zeros(1, 1),
    ):
        before = image()
        result = plots.overlay(before, one, signed)
        assert result.shape == (12, 18, 3)
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(before, image())


def test_nearest_overlay_shows_blocks():
    blocks = plots.overlay(image(), map_of([0, 1, 2], [3, 4, 5]), opacity=1, mode="nearest")
    tiles = blocks.reshape(2, 6, 3, 6, 3)
    assert (tiles == tiles[:, :1, :, :1]).all()
    assert len(np.unique(tiles[:, 0, :, 0].reshape(-1, 3), axis=0)) == 6


def test_the_peak_of_the_map_is_where_the_overlay_is_brightest():
    one = torch.zeros(3, 3)
    one[2, 0] = 1
    result = _luminance(plots.overlay(np.zeros((30, 30, 3), np.uint8), one, opacity=1) / 255)
    y, x = np.unravel_index(result.argmax(), result.shape)
    assert y >= 20
    assert x < 10


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_bad_opacity(opacity):
    with pytest.raises(ValueError, match="opacity"):
        plots.overlay(image(), torch.rand(3, 3), opacity=opacity)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (image() / 255, ValueError),
        (image()[..., 0], ValueError),
        (image()[None], ValueError),
        ([[0]], TypeError),
    ],
    ids=["float", "grey", "batch", "list"],
)
def test_overlay_of_bad_images(bad, error):
    with pytest.raises(error, match="image"):
        plots.overlay(bad, torch.rand(3, 3))


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("count", "columns", "grid"), [(1, 4, (1, 1)), (4, 4, (1, 4)), (5, 3, (2, 3)), (6, 1, (6, 1))]
)
def test_pictures_stand_in_a_grid(count, columns, grid):
    titles = [f"picture {n}" for n in range(count)]
    figure = plots.pictures([image()] * count, titles, columns=columns)
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid
    assert [axis.get_title() for axis in figure.axes] == titles + [""] * (grid[0] * grid[1] - count)
    assert [len(axis.images) for axis in figure.axes] == [1] * count + [0] * (len(figure.axes) - count)
    assert not any(axis.axison for axis in figure.axes)


def _shades(axis) -> np.ndarray:
    """What the axis shows of its picture: RGB in 0..255."""
    shown = axis.images[0]
    return np.asarray(shown.to_rgba(shown.get_array(), bytes=True))[..., :3]


def test_grey_pictures_are_shown_as_they_are():
    """A dim picture stays dim and a full mask is white: matplotlib alone would stretch both."""
    dim = np.full((4, 4), 50, np.uint8)
    dim[0] = 60
    figure = plots.pictures(
        [dim, np.ones((4, 4), bool), np.zeros((4, 4), bool), np.array([[0.0, 2.0], [4.0, 1.0]])]
    )
    shades = [_shades(axis)[..., 0] for axis in figure.axes]
    np.testing.assert_array_equal(shades[0], dim)
    assert (shades[1] == 255).all()
    assert (shades[2] == 0).all()
    assert (shades[3].min(), shades[3].max()) == (0, 255)


def test_colour_pictures_are_shown_as_they_are():
    figure = plots.pictures([image(5, 9), image(9, 5), torch.from_numpy(image(3, 3))])
    for axis, size in zip(figure.axes, ((5, 9), (9, 5), (3, 3)), strict=False):
        np.testing.assert_array_equal(axis.images[0].get_array(), image(*size))
        assert axis.images[0].get_interpolation() == "nearest"


def _dim_and_bright(**options) -> list[int]:
    """How bright the brightest pixel of four panels is shown, the second at 9 % of the first."""
    panels = [np.linspace(0, top, 16).reshape(4, 4) for top in (35.5, 3.1, 20.0, 2.0)]
    return [_shades(axes).max() for axes in plots.pictures(panels, columns=2, **options).axes]


def test_a_panel_at_nine_hundredths_of_the_scale_stays_dark():
    """Stretched by themselves, all four would be white: the figure would say that they are alike."""
    assert _dim_and_bright() == pytest.approx([255, 22, 144, 14], abs=1)
    assert _dim_and_bright(scale="row") == pytest.approx([255, 22, 255, 26], abs=1)
    assert _dim_and_bright(scale="each") == [255] * 4
    assert _dim_and_bright(scale=(0, 71)) == pytest.approx([128, 11, 72, 7], abs=1)


def test_colour_and_whole_numbers_have_no_part_in_the_scale():
    grey = np.linspace(0, 0.5, 16).reshape(4, 4)
    figure = plots.pictures([image(4, 4), np.full((4, 4), 50, np.uint8), np.ones((4, 4), bool), grey])
    assert [_shades(axes).max() for axes in figure.axes][1:] == [50, 255, 255]
    flat = plots.pictures([np.full((3, 3), np.nan), np.zeros((3, 3))])
    assert (_shades(flat.axes[1]) == 0).all()


def test_long_titles_are_wrapped_and_collide_no_more():
    titles = ["a title of so many words that it does not fit", "short", "one more that is far too long"]
    figure = plots.pictures([image()] * 3, titles, width=1.2)
    assert [" ".join(axes.get_title().split()) for axes in figure.axes] == titles
    assert figure.axes[0].get_title().count("\n") > 1
    assert figure.axes[1].get_title() == "short"
    assert plots.text_faults(figure) == []


@pytest.mark.parametrize("kind", ["none", *BLINDNESS])
def test_boxes_can_be_told_apart_by_colour_and_by_line(kind):
    colours = np.array([to_rgb(colour) for colour, _ in plots.BOXES])
    assert len({line for _, line in plots.BOXES}) == len(plots.BOXES) == 3
    matrix = np.eye(3) if kind == "none" else np.transpose(BLINDNESS[kind])
    seen = np.clip((colours**2.2) @ matrix, 0, 1) ** (1 / 2.2)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.4


def test_a_legend_says_what_the_boxes_are():
    figure = plots.pictures([image()], boxes=[[(2, 3, 6, 9), (1, 1, 4, 4)]], box_names=["truth", "found"])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["truth", "found"]
    drawn = [patch.get_edgecolor()[:3] for patch in figure.axes[0].patches[1::2]]
    assert [to_rgb(line.get_color()) for line in legend.get_lines()] == drawn


def test_boxes_enclose_their_pixels():
    figure = plots.pictures(
        [image(), image()], boxes=[[(2, 3, 6, 9)], [(0, 0, 1, 1), torch.tensor([1, 2, 3, 4])]]
    )
    outline = figure.axes[0].patches[-1]
    # pixel (x, y) reaches from x - 1/2 to x + 1/2 on an axis of images
    assert outline.get_xy() == (1.5, 2.5)
    assert (outline.get_width(), outline.get_height()) == (4, 6)
    assert not outline.get_fill()
    last = [axis.patches[-1].get_edgecolor() for axis in figure.axes]
    assert last[0] != last[1], "the second box of a picture has another colour"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"images": []}, "images"),
        ({"images": [image()], "columns": 0}, "columns"),
        ({"images": [image()], "titles": ["a", "b"]}, "titles"),
        ({"images": [image()], "titles": []}, "titles"),
        ({"images": [image()], "boxes": []}, "boxes"),
    ],
)
def test_bad_grids(arguments, word):
    with pytest.raises(ValueError, match=word):
        plots.pictures(**arguments)
    assert plt.get_fignums() == []


# ---------------------------------------------------------------- label maps


def test_label_overlay_shows_classes_in_their_colours_and_leaves_background_alone():
    picture, labels = image(), np.zeros((12, 18), np.uint8)
    labels[2:6, 3:9], labels[7:9, 1:4] = 2, 8
    over = plots.label_overlay(picture, labels, opacity=0.4)
    assert (over[labels == 0] == picture[labels == 0]).all()
    for label, colour in ((2, 2), (8, 1)):  # of seven colours the first comes again
        wanted = 0.6 * picture[labels == label] + 0.4 * 255 * np.array(to_rgb(plots.PALETTE[colour]))
        np.testing.assert_allclose(over[labels == label], wanted, atol=0.51)


def test_label_overlay_stripes_what_is_ignored():
    grey, ignored = np.full((64, 64, 3), 128, np.uint8), np.full((64, 64), 255, np.uint8)
    over = plots.label_overlay(grey, ignored, opacity=1)
    assert set(np.unique(over)) == {90, 255}, "two tones and no class's colour"
    assert 0.4 < (over == 255).mean() < 0.6


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": np.zeros((12, 18), int)}, TypeError, "labels must be a uint8 label map, got int64"),
        ({"labels": np.zeros((12, 17), np.uint8)}, ValueError, r"size \(12, 18\), got \(12, 17\)"),
        ({"opacity": 1.5}, ValueError, "opacity must be a number"),
    ],
)
def test_label_overlay_names_what_it_refuses(change, error, words):
    given = {"image": image(), "labels": np.zeros((12, 18), np.uint8)} | change
    with pytest.raises(error, match=words):
        plots.label_overlay(**given)


def test_style_sets_the_look():
    plots.style()
    assert matplotlib.rcParams["image.cmap"] == plots.EVIDENCE
    cycle = [entry["color"] for entry in matplotlib.rcParams["axes.prop_cycle"]]
    assert set(cycle) <= {*plots.PALETTE, plots.INK}
    assert "#000000" not in cycle, "black lines cannot be seen in the dark"
    assert "#F0E442" not in cycle, "yellow lines cannot be seen on white"


def test_show_displays_once_with_its_text_and_closes(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda data, raw: shown.append(data))
    figure = plots.pictures([image()])
    plots.show(figure, 'A "cat"')
    (data,) = shown
    assert set(data) == {"text/html", "text/plain"}, "an image/png would lose its alt text on the way"
    assert data["text/plain"] == 'A "cat"'
    found = re.fullmatch(
        '<img alt="A &quot;cat&quot;" width="(.+)" src="data:image/png;base64,(.+)">', data["text/html"]
    )
    png = Image.open(io.BytesIO(base64.b64decode(found[2])))
    assert png.format == "PNG"
    assert int(found[1]) == pytest.approx(png.width / 2, abs=1)
    assert plt.get_fignums() == [], "closed, so that the cell does not show it again"


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_show_refuses_a_figure_without_text(alt, monkeypatch):
    monkeypatch.setattr(plots, "display", lambda *_: pytest.fail("it was shown"))
    with pytest.raises(ValueError, match="alt"):
        plots.show(plots.pictures([image()]), alt)


# ---------------------------------------------------------------- legible in every theme


def test_ink_can_be_read_on_white_and_in_the_dark():
    ink, white, dark = (_luminance(np.array(to_rgb(colour))) for colour in (plots.INK, "#fff", "#111111"))
    assert (white + 0.05) / (ink + 0.05) > 4.3
    assert (ink + 0.05) / (dark + 0.05) > 4.3


def test_a_figure_has_no_ground_and_no_black_text():
    """Made without `style`, as matplotlib's own defaults have it: black on white."""
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, 1], color="black")
    axes.vlines([0.5], 0, 1, colors=["0.2"])
    axes.scatter([0.1], [0.9], color="black")
    axes.set_title("title")
    kept = axes.text(0.2, 0.8, "label", bbox={"facecolor": "white"})
    coloured = axes.text(0.8, 0.2, "blue", color=plots.PALETTE[5])
    file, _ = plots.rendered(figure)
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGBA"))
    assert pixels[0, 0, 3] == 0, "no ground outside the axes"
    assert np.median(pixels[..., 3]) == 0, "nor inside"
    assert (kept.get_color(), coloured.get_color()) == ("black", plots.PALETTE[5])
    assert axes.lines[0].get_color() == axes.title.get_color() == plots.INK
    for marks in axes.collections:
        np.testing.assert_allclose(marks.get_edgecolor()[0, :3], to_rgb(plots.INK))
    np.testing.assert_allclose(axes.collections[1].get_facecolor()[0, :3], to_rgb(plots.INK))


# ---------------------------------------------------------------- text that collides


def _axes():
    return plt.subplots(figsize=(4, 3))


def test_a_good_figure_has_no_faults():
    figure, axes = _axes()
    axes.plot([0, 3], [0, 1], label="curve")
    axes.set(
        title="title", xlabel="rounds", ylabel="score", xlim=(0.5, 2.5)
    )  # ticks at 0 and 3 are not drawn
    axes.text(2, 0.2, "beside the curve")
    axes.annotate("the curve", (1, 1 / 3), (0.6, 0.8), arrowprops={"arrowstyle": "-"})
    axes.legend(loc="lower right")
    assert plots.text_faults(figure) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda axes: (axes.text(1, 0, "first"), axes.text(1.1, 0, "second")),
            "'first' and 'second' overlap",
        ),
        (lambda axes: axes.text(1, 0.5, "struck", va="center"), "a line runs through the text 'struck'"),
        (lambda axes: axes.text(1.9, 0, "too far", clip_on=True), "'too far' is cut off"),
        (lambda axes: axes.set_xticks([1, 1.02], ["one", "two"]), "'one' and 'two' overlap"),
        (
            lambda axes: axes.text(0.5, 1.05, "above", transform=axes.transAxes, ha="center"),
            "'above' and 'title'",
        ),
    ],
    ids=["texts", "line", "cut", "ticks", "title"],
)
def test_faults_are_named(spoil, words, monkeypatch):
    figure, axes = _axes()
    axes.axhline(0.5)
    axes.set(title="title", xlim=(0, 2), ylim=(-1, 1))
    assert plots.text_faults(figure) == []
    spoil(axes)
    (fault,) = plots.text_faults(figure)
    assert words in fault
    monkeypatch.setattr(plots, "display", lambda *_, **__: None)
    with pytest.warns(UserWarning, match=re.escape(words)):
        plots.show(figure, "a figure")


def test_a_text_with_a_ground_of_its_own_may_lie_on_a_line():
    figure, axes = _axes()
    axes.axhline(0.5)
    axes.text(0.5, 0.5, "tag", bbox={"facecolor": "white"})
    axes.text(0.2, 0.2, "slanted", rotation=45)
    axes.text(0.3, 0.2, "slanted too", rotation=45)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.text_faults(figure) == []
