"""The CAM explorer without a browser: what travels, what is refused, and the still picture."""

import anywidget
import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from support import still_of

from lecturekit.datasets.photos import photo
from lecturekit.models import load_classifier
from lecturekit.widgets import cam_explorer as cam_explorer_module
from lecturekit.widgets.cam_explorer import (
    COLOURS,
    CamExplorer,
    ExplorerState,
    cam_explorer,
    explorer_still,
)

NAMES = ("cat", "dog", "cup", "spoon")
K, H, W = len(NAMES), 40, 60
RNG = np.random.default_rng(5)
IMAGE = RNG.integers(0, 256, (H, W, 3), np.uint8)
MAPS = RNG.normal(1, 4, (K, 4, 6)).astype(np.float32)
BIAS = np.array([0.5, -1, 0, 2], np.float32)
LOGITS = MAPS.mean((1, 2)) + BIAS


def explorer(**changes):
    return CamExplorer(**{"image": IMAGE, "maps": MAPS, "categories": NAMES, "logits": LOGITS} | changes)


def test_the_list_says_what_its_order_is():
    """Without logits nothing says how likely a class is."""
    for logits, words in ((LOGITS, "most likely first"), (None, "largest mean of the map first")):
        data = cam_explorer_module._Data.checked(IMAGE, MAPS, NAMES, logits, None)
        axes = Figure().subplots()
        cam_explorer_module._draw_list(axes, data, ExplorerState())
        assert axes.get_title("left") == f"Classes, {words}"


# ----------------------------------------------------------------------------------------- what travels


def test_data_arrives_as_it_was():
    state = explorer(bias=BIAS).get_state()
    assert state["_size"] == [H, W]
    assert (np.frombuffer(state["_image"], np.uint8).reshape(H, W, 3) == IMAGE).all()
    assert (np.frombuffer(state["_maps"], "<f4").reshape(MAPS.shape) == MAPS).all()
    assert state["_layers"] == [["class map", 4, 6]]
    assert (np.frombuffer(state["_logits"], "<f4") == LOGITS).all()
    assert (np.frombuffer(state["_bias"], "<f4") == BIAS).all()
    assert state["_categories"] == list(NAMES)
    tables = np.frombuffer(state["_tables"], np.uint8).reshape(len(COLOURS), 256, 3)
    for table, name in zip(tables, COLOURS, strict=True):
        assert (table == matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float_type_even_with_a_graph(dtype):
    maps = torch.from_numpy(MAPS).to(dtype).requires_grad_()
    sent = np.frombuffer(explorer(maps=maps, logits=None).get_state()["_maps"], "<f4").reshape(MAPS.shape)
    assert (sent == maps.detach().float().numpy()).all()


def test_several_sets_of_maps_in_their_order():
    fine = RNG.normal(size=(K, 8, 12))
    state = explorer(maps={"last": MAPS, "earlier": fine}).get_state()
    assert state["_layers"] == [["last", 4, 6], ["earlier", 8, 12]]
    assert state["layer"] == "last"
    assert (np.frombuffer(state["_maps"], "<f4")[MAPS.size :] == fine.astype(np.float32).ravel()).all()


def test_starts_with_the_most_likely_class():
    assert explorer().class_index == LOGITS.argmax()
    assert explorer(logits=None).class_index == MAPS.mean((1, 2)).argmax()
    assert explorer(class_index=3).class_index == 3


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": IMAGE / 255}, ValueError, "image must be uint8 RGB .* got float64"),
        ({"image": IMAGE[..., :2]}, ValueError, r"image .* \(40, 60, 2\)"),
        ({"image": IMAGE[:0]}, ValueError, "image"),
        (
            {"maps": MAPS[:3]},
            ValueError,
            r"maps must have shape \(4, h, w\) for 4 categories, got \(3, 4, 6\)",
        ),
        ({"maps": MAPS[0]}, ValueError, r"maps .* got \(4, 6\)"),
        ({"maps": MAPS[:, :0]}, ValueError, "maps"),
        ({"maps": MAPS.astype(int)}, TypeError, "maps must be floats, got int64"),
        ({"maps": np.where(MAPS > 5, np.nan, MAPS)}, ValueError, "maps must be finite"),
        ({"maps": np.where(MAPS > 5, np.inf, MAPS)}, ValueError, "maps must be finite"),
        ({"maps": {}}, ValueError, "maps must hold at least one"),
        ({"maps": {"a": MAPS, "b": MAPS[:2]}}, ValueError, "maps"),
        ({"categories": NAMES[:3]}, ValueError, "maps .* 3 categories"),
        ({"categories": (1, 2, 3, 4)}, TypeError, "categories must be .* names"),
        ({"categories": ()}, TypeError, "categories"),
        ({"logits": LOGITS[:2]}, ValueError, r"logits must have shape \(4\)"),
        ({"logits": LOGITS * np.nan}, ValueError, "logits must be finite"),
        ({"bias": BIAS[None]}, ValueError, "bias must have shape"),
        ({"class_index": 4}, ValueError, "class_index must be an integer from 0 to 3, got 4"),
        ({"class_index": -1}, ValueError, "class_index"),
        ({"class_index": True}, ValueError, "class_index"),
        ({"class_index": "cat"}, ValueError, "class_index"),
        ({"compare_index": 9}, ValueError, "compare_index must be None or"),
        ({"threshold": 1.0}, ValueError, "threshold must be a number with 0 <= threshold < 1, got 1.0"),
        ({"threshold": float("nan")}, ValueError, "threshold"),
        ({"opacity": 1.1}, ValueError, "opacity"),
        ({"upsampling": "lanczos"}, ValueError, "upsampling must be one of .*nearest"),
        ({"signed": 1}, ValueError, "signed"),
        ({"colour": "jet"}, ValueError, "colour must be one of .*viridis"),
        ({"colour": "viridis", "signed": True}, ValueError, "colour must be one of .*RdBu_r"),
        ({"pixel": (60, 0)}, ValueError, r"pixel must be None or \(x, y\) within 60 x 40"),
        ({"pixel": (1.5, 2)}, ValueError, "pixel"),
        ({"layer": "conv9"}, ValueError, "layer must be one of"),
        ({"treshold": 0.3}, TypeError, "treshold"),
    ],
)
def test_bad_input_is_named(changes, error, words):
    with pytest.raises(error, match=words):
        explorer(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [("class_index", 4), ("threshold", -0.1), ("opacity", 2.0), ("colour", "jet"), ("pixel", [0, 40])],
)
def test_a_refused_value_leaves_the_old_one(name, value):
    shown = explorer()
    before = getattr(shown, name)
    with pytest.raises(ValueError, match=name):
        setattr(shown, name, value)
    assert getattr(shown, name) == before


# ---------------------------------------------------------------------------------------------- the state


def test_state_holds_everything_that_is_chosen():
    chosen = ExplorerState(2, 0.35, 0.8, "nearest", True, "PuOr_r", (7, 9), 1, "class map")
    assert explorer(**vars(chosen)).state == chosen


def test_state_sent_by_the_browser_is_taken():
    shown = explorer()
    shown.set_state({"class_index": 1, "threshold": 0, "pixel": [3, 4], "signed": True, "colour": "PuOr_r"})
    assert shown.state == ExplorerState(1, 0.0, signed=True, colour="PuOr_r", pixel=(3, 4), layer="class map")


def test_integers_of_numpy_and_torch():
    shown = explorer(class_index=np.int64(2), pixel=tuple(np.array([4, 5])))
    assert (shown.class_index, shown.pixel) == (2, [4, 5])
    shown.class_index = torch.from_numpy(LOGITS).argmin()
    assert shown.class_index == LOGITS.argmin()


def test_colour_map_and_signed_evidence_go_together():
    shown = explorer()
    shown.signed = True
    assert shown.colour == "RdBu_r"
    shown.colour = "cividis"
    assert shown.signed is False
    shown.colour = "PuOr_r"
    assert shown.signed is True
    assert shown.colour == "PuOr_r"


# --------------------------------------------------------------------------------------- the still picture


def still(maps=MAPS, **state):
    return np.asarray(explorer_still(IMAGE, maps, NAMES, ExplorerState(**state), LOGITS))[..., :3]


@pytest.fixture(scope="module")
def plain_still():
    return still()


@pytest.mark.parametrize(
    "state",
    [
        {"class_index": 1},
        {"threshold": 0.7},
        {"opacity": 0.9},
        {"upsampling": "nearest"},
        {"upsampling": "bicubic"},
        {"signed": True},
        {"colour": "cividis"},
        {"pixel": (30, 20)},
        {"compare_index": 2},
    ],
    ids=str,
)
def test_every_choice_changes_the_still_picture(plain_still, state):
    assert not np.array_equal(plain_still, still(**state))


def test_still_picture_is_the_same_every_time():
    assert np.array_equal(still(signed=True), still(signed=True))


def test_colours_of_the_still_picture_are_the_values():
    """A map of two halves at full opacity: the maximum and zero have the two ends of the colour table."""
    maps = np.zeros((K, 1, 2), np.float32)
    maps[0, 0, 1] = 3
    picture = still(maps, opacity=1.0, upsampling="nearest", threshold=0.99)
    for end in (0, 255):
        colour = (matplotlib.colormaps["viridis"](end, bytes=True))[:3]
        share = (np.abs(picture.astype(int) - colour).max(2) <= 2).mean()
        assert share > 0.08, f"{share:.3f} of the still picture has colour {colour}"


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
@pytest.mark.parametrize("signed", [False, True])
def test_flat_maps_have_a_still_picture_without_a_box(value, signed):
    maps = np.full((K, 4, 6), value, np.float32)
    bundle, _ = explorer(maps=maps, signed=signed, upsampling="nearest")._repr_mimebundle_()
    assert "none, no evidence" in bundle["text/html"]


def test_still_picture_works_without_logits():
    assert explorer_still(IMAGE, MAPS, NAMES, ExplorerState()).size[0] > 600


def test_still_picture_refuses_what_the_widget_refuses():
    with pytest.raises(ValueError, match="class_index"):
        explorer_still(IMAGE, MAPS, NAMES, ExplorerState(class_index=4))


def test_bundle_holds_live_view_still_picture_and_words():
    data, _ = explorer()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "run this cell" in data["text/plain"]
    alt = data["text/html"].split('" width')[0]
    assert NAMES[LOGITS.argmax()] in alt
    assert "20 %" in alt
    picture = still_of(data)
    assert picture.width <= 850
    assert picture.getpixel((picture.width - 1, picture.height - 1))[3] == 0, "no ground of its own"


def test_bundle_keeps_the_metadata_of_the_live_view(monkeypatch):
    """Colab finds its widget manager in it."""
    known = {"application/vnd.jupyter.widget-view+json": {"colab": {"custom_widget_manager": {"url": "x"}}}}
    monkeypatch.setattr(
        anywidget.AnyWidget, "_repr_mimebundle_", lambda self, **_: ({"text/plain": ""}, known)
    )
    _, metadata = explorer()._repr_mimebundle_()
    assert metadata.items() >= known.items()


# --------------------------------------------------------------------------------- with the course's network


@pytest.fixture(scope="module")
def model():
    return load_classifier(device="cpu")


@pytest.mark.parametrize(("size", "cells"), [(224, 7), (448, 14)])
def test_explorer_of_a_photograph(model, size, cells):
    coffee = photo("coffee")
    shown = cam_explorer(model, coffee, size, threshold=0.4)
    state = shown.get_state()
    assert model.categories[shown.class_index] == "espresso"
    assert shown.threshold == 0.4
    assert state["_layers"] == [["class map", cells, cells]]
    assert (
        np.frombuffer(state["_image"], np.uint8).reshape(size, size, 3) == model.view([coffee], size)[0]
    ).all()
    maps = np.frombuffer(state["_maps"], "<f4").reshape(1000, cells, cells)
    with torch.no_grad():
        logits = model(model.preprocess([coffee], size))[0].numpy()
    np.testing.assert_allclose(np.frombuffer(state["_logits"], "<f4"), logits, atol=1e-3)
    bias = model.network.classifier.bias.detach().numpy()
    np.testing.assert_allclose(np.frombuffer(state["_bias"], "<f4"), bias, atol=1e-3)
    np.testing.assert_allclose(maps.mean((1, 2)) + bias, logits, atol=1e-3)


def test_still_of_a_photograph_is_small_enough_to_commit(model):
    data, _ = cam_explorer(model, photo("chelsea"))._repr_mimebundle_()
    assert len(data["text/html"]) < 150_000
