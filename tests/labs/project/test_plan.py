"""The plan: its curves, arithmetic by hand, what its interval must hold, and what would change it."""

import dataclasses
import re

import numpy as np
import pytest
from matplotlib import pyplot as plt

from lecturekit.labels.costs import COSTS
from lecturekit.labs import stopwatch
from lecturekit.labs.project._curves import KINDS, Curve, Curves, curves_of, fit, with_background
from lecturekit.labs.project._plan import Option, Pilot, ordered, own_prices, plan, split

TOPS = {"tags": 0.3, "clicks": 0.4, "scribbles": 0.5, "boxes": 0.55, "masks": 0.6}


@pytest.fixture
def curves():
    """Curves of one shape: the dearer the label, the higher its end."""
    single = {kind: Curve(top, 0.4, 0.5, 0.01) for kind, top in TOPS.items()}
    return Curves(single, {"boxes": 0.5}, (0.7, 0.3), {"boxes": 0.01}, 0.02, 100, 1, 0.4, 1.0, 40.0)


# ------------------------------------------------------------------------------------------------ curves


@pytest.mark.parametrize(("top", "drop", "power"), [(0.6, 0.5, 0.5), (0.9, 0.7, 0.2), (0.3, 0.1, 1.2)])
def test_a_curve_is_found_again(top, drop, power):
    x = np.array([1, 3, 6, 12, 24, 48.0])
    found = fit(x, top - drop * x**-power)
    np.testing.assert_allclose(found(x), top - drop * x**-power, atol=2e-3)
    assert found.spread < 2e-3


def test_more_labels_are_never_worse_whatever_was_measured():
    found = fit([1, 2, 4, 8], [0.5, 0.4, 0.3, 0.2])  # noise alone: labels cannot hurt
    assert found.drop == 0
    assert found.spread > 0.1
    with pytest.raises(ValueError, match="two different"):
        fit([3, 3], [0.1, 0.2])


def test_curves_are_read_from_the_rows_of_the_benchmark():
    truth = Curve(0.5, 0.3, 0.5, 0.0)
    rows = []
    for kind in KINDS:
        for pictures in (10, 40, 160):
            q = truth(pictures * 2 / 20) + 0.1 * (kind == "masks")
            mean = float(with_background(q, 20, (0.6, 0.4)))
            behind = float(0.6 + 0.4 * q)
            rows.append({"role": "curve", "counts": {kind: pictures}, "iou": mean, "background": behind})
    weak, full = truth(8.0), truth(8.0) + 0.1
    q = weak + (full - weak) * 0.25**0.5  # a quarter has masks: half of the way
    mean, behind = float(with_background(q, 20, (0.6, 0.4))), float(0.6 + 0.4 * q)
    rows.append({"role": "curve", "counts": {"boxes": 60, "masks": 20}, "iou": mean, "background": behind})
    rows = [row | {"low": 0.4, "high": 0.4 + 0.0392, "part": 0} for row in rows]
    found = curves_of(rows, {"objects": 2, "classes": 20, "judged": 100, "tasks": 0.3})
    assert found.exponents == {"boxes": pytest.approx(0.5, abs=0.03)}
    assert found.background == pytest.approx((0.6, 0.4), abs=1e-6)
    assert found.judged == pytest.approx(0.01)
    assert float(found.single["masks"](8.0)) == pytest.approx(float(full), abs=3e-3)
    assert float(found.quality({"boxes": 0.75, "masks": 0.25}, 8.0, 20)) == pytest.approx(mean, abs=3e-3)


def test_a_part_that_is_hard_for_all_is_no_noise_of_single_students():
    rows = []
    for part, easier in enumerate((-0.06, 0.0, 0.06)):
        for kind in KINDS:
            for pictures in (10, 40, 160, 300):
                q = Curve(0.5, 0.3, 0.5, 0.0)(pictures * 0.1) + easier
                iou = float((20 * q + 0.8) / 21)
                row = {"role": "curve", "counts": {kind: pictures}, "iou": iou, "background": 0.8}
                rows.append(row | {"part": part, "low": 0.4, "high": 0.42})
        rows.append(rows[-1] | {"counts": {"boxes": 150, "masks": 150}})
    found = curves_of(rows, {"objects": 2, "classes": 20, "judged": 50, "tasks": 0.3})
    assert found.judged == pytest.approx(0.06, abs=2e-3)
    assert max(curve.spread for curve in found.single.values()) < 5e-3
    assert found.parts == 3


# -------------------------------------------------------------------------------------------------- the plan


def test_pictures_and_hours_by_hand(curves):
    found = plan(2, 1000, objects=2, classes=5, prices=dict.fromkeys(KINDS, 10.0), curves=curves)
    counts = {option.name: option for option in found.options}
    # seconds a picture: 5 to name the classes, and 10 an object; a tag is 10 in all, and scribbles have one
    # stroke on the background
    assert counts["tags"].pictures == {"tags": 7200 // 10}
    assert counts["boxes"].pictures == {"boxes": 7200 // 25}
    assert counts["scribbles"].pictures == {"scribbles": 7200 // 35}
    assert counts["boxes"].hours == pytest.approx(288 * 25 / 3600)
    assert found.best.name == "masks"  # as cheap as the others, and better
    assert sum(option.best for option in found.options) == pytest.approx(1)


def test_a_folder_that_ends_before_the_hours(curves):
    found = plan(100, 30, curves=curves)
    assert all(sum(option.pictures.values()) <= 30 for option in found.options)
    assert found.best.pictures == {"masks": 30}
    assert found.best.hours < 100
    assert sum(found.changes["twice the pictures"].pictures.values()) == 60


def test_of_options_that_are_level_the_cheaper_is_named(curves):
    """The folder is labelled before the hours are over: boxes as good as masks cost less."""
    level = Curve(TOPS["masks"] - 0.003, 0.4, 0.5, 0.01)
    tied = dataclasses.replace(curves, single={**curves.single, "boxes": level})
    found = plan(100, 30, curves=tied, kinds=["boxes", "masks"], masked=[0.1])
    assert found.best.name == "boxes"
    assert found.best.quality < max(option.quality for option in found.options)
    assert found.best.hours == min(option.hours for option in found.options)
    apart = plan(100, 30, curves=curves, kinds=["boxes", "masks"], masked=[0.1])
    assert apart.best.name == "masks"  # better by more than a tie, and dearer


def test_of_mixtures_that_are_level_the_one_of_fewer_masks_is_looked_at(curves):
    flat = dataclasses.replace(curves, single={**curves.single, "boxes": curves.single["masks"]})
    names = [option.name for option in plan(100, 100, curves=flat, masked=[0.5, 0.1, 0.3]).options]
    assert "boxes + 10 % masks" in names
    assert "boxes + 50 % masks" not in names


def test_a_tie_is_not_passed_on():
    """Each a hair below the one before: only what is level with the best may stand before it."""
    options = [Option({"boxes": k + 1}, 10.0 - k, 0.5 - 0.004 * k, 0, 1) for k in range(4)]
    found = [option.hours for option, _ in ordered([(one, np.zeros(1)) for one in options])]
    assert found == [9, 10, 7, 8]


def test_a_known_draw_lies_in_the_interval_as_often_as_promised(curves):
    """People, pictures and students drawn as the plan believes them: 95 % inside."""
    said = plan(1, 300, objects=2, classes=4, kinds=["boxes"], curves=curves, familiar=True, seed=3)
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        seconds = (4 + 2 * 7.0) * np.exp(0.3 * rng.normal())
        q = curves.single["boxes"](min(300, 3600 / seconds) * 2 / 4)
        value = float(with_background(q, 4, curves.background))
        value += rng.normal(0, 0.02) + rng.normal(0, 0.02) + rng.normal(0, 0.01)
        inside += said.best.low <= value <= said.best.high
    assert 0.92 * 400 <= inside <= 0.98 * 400


def test_what_is_unknown_widens_the_interval(curves):
    def width(**options):
        (option,) = plan(1, 300, kinds=["boxes"], curves=curves, **options).options
        return option.high - option.low

    assert width() > width(familiar=True)
    assert width(test=5) > width(test=500)
    assert width(familiar=True) > width(familiar=True, prices={"boxes": 7.0})
    pilot = Pilot({"boxes": 20}, 0.5, 0.45, 0.55)
    assert width(pilot=pilot) < width()


def test_a_pilot_moves_the_plan_towards_what_was_reached(curves):
    plain = plan(1, 300, curves=curves).best.quality
    better = plan(1, 300, curves=curves, pilot=Pilot({"boxes": 10}, 0.8, 0.7, 0.85)).best.quality
    worse = plan(1, 300, curves=curves, pilot=Pilot({"boxes": 10}, 0.2, 0.1, 0.3)).best.quality
    assert worse < plain < better


def test_masks_at_half_the_price_win_where_boxes_won(curves):
    cheap = dataclasses.replace(curves, single={**curves.single, "boxes": Curve(0.59, 0.4, 0.5, 0.01)})
    found = plan(0.5, 400, objects=3, classes=8, kinds=["boxes", "masks"], curves=cheap)
    assert "boxes" in found.best.pictures
    dear = found.changes["boxes at twice the price"]
    assert sum(dear.pictures.values()) < sum(found.best.pictures.values())
    assert (
        found.changes["twice the hours"].quality
        > found.best.quality
        > found.changes["half the hours"].quality
    )


def test_hours_for_a_quality(curves):
    found = plan(1, 500, objects=1, classes=1, quality=0.5, curves=curves, kinds=["boxes", "tags"])
    many = np.arange(1, 501)
    value = with_background(curves.single["boxes"](many), 1, curves.background)
    first = many[value >= 0.5][0]
    assert found.hours_needed["boxes"] == pytest.approx(first * 8 / 3600, rel=0.05)
    never = plan(1, 500, objects=1, classes=20, quality=0.9, curves=curves)
    assert set(never.hours_needed.values()) == {None}
    assert "never in this folder" in str(never)


def test_it_says_what_it_does_not_know(curves):
    doubts = " ".join(plan(1, 5000, curves=curves).doubts)
    assert "the curves end at 40" in doubts
    assert "pilot" in doubts
    assert "scribble" in doubts
    pilot = Pilot({"boxes": 10}, 0.5, 0.4, 0.6)
    assert plan(1, 50, classes=4, kinds=["boxes"], curves=curves, pilot=pilot).doubts == ()


def test_the_same_seed_gives_the_same_plan(curves):
    assert plan(1, 99, curves=curves, seed=4) == plan(1, 99, curves=curves, seed=4)
    assert plan(1, 99, curves=curves, seed=4) != plan(1, 99, curves=curves, seed=5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hours": 0}, "hours"),
        ({"pictures": 0}, "pictures"),
        ({"objects": 0}, "objects"),
        ({"classes": 255}, "classes"),
        ({"kinds": ["box"]}, "kinds"),
        ({"kinds": []}, "kinds"),
        ({"prices": {"box": 3}}, "prices"),
        ({"prices": {"boxes": 0}}, "prices"),
        ({"quality": 2}, "quality"),
        ({"masked": [0]}, "masked"),
        ({"hours": 0.0001}, "hours must be enough"),
    ],
)
def test_refused(curves, options, named):
    with pytest.raises(ValueError, match=named):
        plan(**{"hours": 1, "pictures": 10, "curves": curves} | options)


def test_a_pilot_of_a_mixture_that_nobody_measured(curves):
    plain, moved = (
        plan(1, 300, curves=curves, pilot=pilot).best.quality
        for pilot in (None, Pilot({"tags": 10, "masks": 10}, 0.8, 0.7, 0.85))
    )
    assert moved > plain


def test_a_pilot_is_checked():
    with pytest.raises(ValueError, match="in this order"):
        Pilot({"boxes": 3}, 0.5, 0.6, 0.7)
    with pytest.raises(ValueError, match="kinds"):
        Pilot({"polygons": 3}, 0.5, 0.4, 0.7)


def test_figure_and_words(curves):
    found = plan(1, 100, curves=curves)
    figure = found.figure()
    assert len(figure.axes[0].get_yticklabels()) == len(found.options)
    assert found.best.name in found.alt_text()
    assert f"Draw {found.best}" in str(found)


# ------------------------------------------------------------------------------------------------ own prices


def timed(kind, *seconds):
    return [stopwatch.Measure(kind, k, value, 0.5, 0.5) for k, value in enumerate(seconds)]


def test_own_prices_come_from_the_stopwatch(curves):
    measures = timed("polygon", 30, 40, 50, 60) + timed("box", 9, 10, 11) + timed("scribble", 2, 3, 4)
    found = own_prices(measures + timed("point", 1, 2))  # two are too few
    assert set(found) == {"masks", "boxes", "scribbles"}
    assert found["masks"].seconds == 45
    assert found["boxes"].low < 10 < found["boxes"].high
    assert found["scribbles"].background == COSTS["scribble"].background
    many = own_prices(timed("polygon", 30, 40, 50, 60, 30, 40, 50, 60))
    assert many["masks"].high < found["masks"].high
    (option,) = plan(1, 500, objects=2, classes=5, kinds=["masks"], prices=found, curves=curves).options
    assert option.pictures == {"masks": 3600 // (2 * 45 + 5)}


def test_split_adds_up():
    for pictures in range(1, 60):
        parts = split(pictures, {"boxes": 0.85, "masks": 0.15})
        assert sum(parts.values()) == pictures
        assert abs(parts["masks"] - 0.15 * pictures) <= 0.5 + 1e-9


# ----------------------------------------------------------------------------------------------- money


def test_a_wage_turns_hours_into_money(curves):
    known = {"prices": {"boxes": 5.0, "masks": 50.0}, "kinds": ["boxes", "masks"], "curves": curves}
    silent, told = plan(2, 100, **known), plan(2, 100, **known, wage=30, currency="CHF", quality=0.4)
    assert told.options == silent.options  # money changes no answer
    best = told.best
    assert told.cost(best.hours) == f"{30 * best.hours:.0f} CHF"
    assert (told.cost(0.1), told.cost(100), silent.cost(2)) == ("3.00 CHF", "3,000 CHF", "")
    assert f"in {best.hours:.1f} h ({told.cost(best.hours)})." in str(told)
    for option in told.options:
        row = next(line for line in str(told).splitlines() if line.startswith(option.name + "  "))
        assert f" {told.cost(option.hours)} " in row
        needed = told.hours_needed[option.name]
        assert re.search(rf"with {re.escape(option.name)}: [\d.]+ \({told.cost(needed)}\)", str(told))
    assert "CHF" not in str(silent)
    assert "cost" not in str(silent)
    figure = told.figure()
    assert all("CHF" in text.get_text() for text in figure.axes[0].get_yticklabels())
    plt.close(figure)


def test_a_wage_is_a_number(curves):
    with pytest.raises(ValueError, match="wage"):
        plan(2, 100, curves=curves, wage=-1)
    assert plan(2, 100, curves=curves, wage=0, currency="").cost(2) == "0.00"
