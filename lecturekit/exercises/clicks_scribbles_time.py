"""Exercises and quiz of notebook 09, clicks, scribbles and time."""

from __future__ import annotations

import numpy as np
import torch

from lecturekit.exercises import Chapter
from lecturekit.pixels.priors import carry_shares

chapter = Chapter(__name__)


# ---------------------------------------------------------------------------------------------- image labels


def _image_level_loss(logits, present):
    highest = logits.softmax(0).amax((1, 2))
    there = -highest[present].log().mean()
    nowhere = -(1 - highest[~present]).log().mean()
    return there + nowhere


def _image_cases():
    made = torch.Generator().manual_seed(0)
    maps = [2 * torch.randn(k, h, w, generator=made) for k, h, w in ((4, 3, 5), (3, 4, 2), (6, 2, 2))]
    there = [[True, False, True, False], [True, True, False], [True, False, False, True, True, False]]
    return [(logits, torch.tensor(present)) for logits, present in zip(maps, there, strict=True)]


def _mean_over_positions(logits, present):
    average = logits.softmax(0).mean((1, 2))
    return -average[present].log().mean() - (1 - average[~present]).log().mean()


def _absent_forgotten(logits, present):
    return -logits.softmax(0).amax((1, 2))[present].log().mean()


def _background_left_out(logits, present):
    highest = logits.softmax(0).amax((1, 2))[1:]
    return -highest[present[1:]].log().mean() - (1 - highest[~present[1:]]).log().mean()


def _pooled_first(logits, present):
    highest = logits.amax((1, 2)).softmax(0)
    return -highest[present].log().mean() - (1 - highest[~present]).log().mean()


def _over_positions(logits, present):
    highest = logits.flatten(1).softmax(1).amax(1)
    return -highest[present].log().mean() - (1 - highest[~present]).log().mean()


image_level_loss = chapter.exercise(
    "image_level_loss",
    _image_level_loss,
    cases=_image_cases,
    mistakes={
        "mean_for_max": _mean_over_positions,
        "absent_forgotten": _absent_forgotten,
        "no_background": _background_left_out,
        "pooled_first": _pooled_first,
        "softmax_over_positions": _over_positions,
    },
)


# ------------------------------------------------------------------------------------------------- scribbles


def _scribble_loss(logits, labels, alike, weight):
    known = labels != 255
    drawn = -logits.log_softmax(1)[known, labels[known]].mean()
    p = logits.softmax(1)
    torn = (p * (alike @ (1 - p))).sum() / len(p)
    return drawn + weight * torn


def _scribble_cases():
    made = torch.Generator().manual_seed(1)
    cases = []
    for n, k, weight in ((8, 3, 0.5), (5, 4, 2.0), (7, 2, 0.0)):
        labels = torch.randint(0, k, (n,), generator=made)
        labels[1 : n // 2 + 1] = 255
        alike = torch.rand(n, n, generator=made)
        alike = (alike + alike.T).fill_diagonal_(0)
        cases.append((torch.randn(n, k, generator=made), labels, alike, weight))
    return cases


def _over_all_cells(logits, labels, alike, weight):
    known = labels != 255
    drawn = -logits.log_softmax(1)[known, labels[known]].sum() / len(labels)
    return drawn + _scribble_loss(logits, labels, alike, weight) - _scribble_loss(logits, labels, alike, 0)


def _softmax_twice(logits, labels, alike, weight):
    known = labels != 255
    drawn = -logits.softmax(1).log_softmax(1)[known, labels[known]].mean()
    return drawn + _scribble_loss(logits, labels, alike, weight) - _scribble_loss(logits, labels, alike, 0)


def _together(logits, labels, alike, weight):
    p = logits.softmax(1)
    return _scribble_loss(logits, labels, alike, 0) + weight * (p * (alike @ p)).sum() / len(p)


scribble_loss = chapter.exercise(
    "scribble_loss",
    _scribble_loss,
    cases=_scribble_cases,
    mistakes={
        "over_all_cells": _over_all_cells,
        "as_background": lambda logits, labels, alike, weight: _scribble_loss(
            logits, torch.where(labels == 255, 0, labels), alike, weight
        ),
        "softmax_twice": _softmax_twice,
        "together": _together,
        "no_weight": lambda logits, labels, alike, weight: _scribble_loss(logits, labels, alike, 1),
    },
)


# ---------------------------------------------------------------------------------------------- rank pooling


def _rank_pool(maps, decay):
    values = maps.flatten(2).sort(2, descending=True).values
    weights = decay ** torch.arange(values.shape[2])
    return (weights * values).sum(2) / weights.sum()


def _pool_cases():
    made = torch.Generator().manual_seed(2)
    shapes = ((2, 3, 2, 4), (3, 1, 3, 3), (2, 2, 4, 2))
    return [
        (torch.randn(*shape, generator=made), decay)
        for shape, decay in zip(shapes, (0.5, 0.0, 1.0), strict=True)
    ] + [(torch.randn(1, 2, 5, 3, generator=made), 0.9)]


def _ascending(maps, decay):
    values = maps.flatten(2).sort(2).values
    weights = decay ** torch.arange(values.shape[2])
    return (weights * values).sum(2) / weights.sum()


def _not_normalised(maps, decay):
    values = maps.flatten(2).sort(2, descending=True).values
    return (decay ** torch.arange(values.shape[2]) * values).sum(2)


def _ranks_from_one(maps, decay):
    values = maps.flatten(2).sort(2, descending=True).values
    weights = decay ** torch.arange(1, values.shape[2] + 1)
    return (weights * values).sum(2) / weights.sum()


def _not_sorted(maps, decay):
    values = maps.flatten(2)
    weights = decay ** torch.arange(values.shape[2])
    return (weights * values).sum(2) / weights.sum()


def _over_the_batch(maps, decay):
    together = _rank_pool(maps.transpose(0, 1).reshape(1, maps.shape[1], 1, -1), decay)
    return together.expand(len(maps), -1).clone()


rank_pool = chapter.exercise(
    "rank_pool",
    _rank_pool,
    cases=_pool_cases,
    mistakes={
        "ascending": _ascending,
        "not_normalised": _not_normalised,
        "ranks_from_one": _ranks_from_one,
        "not_sorted": _not_sorted,
        "over_the_batch": _over_the_batch,
    },
)


# ----------------------------------------------------------------------------------------- one constrain step


def _constrain_step(logits, crf, present):
    logits = logits.clone().requires_grad_()
    allowed = logits.masked_fill(~present, -1e4)
    q = crf(-allowed.log_softmax(1)).detach()
    loss = (torch.xlogy(q, q) - q * logits.log_softmax(1)).sum(1).mean()
    loss.backward()
    return loss.detach(), logits.grad


def _neighbours(weight):
    """A CRF in miniature: one step of mean field; each cell hears the one before and the one after it."""

    def crf(unary):
        p = (-unary).softmax(1)
        return (-unary + weight * (p.roll(1, 0) + p.roll(-1, 0))).softmax(1)

    return crf


def _constrain_cases():
    made = torch.Generator().manual_seed(3)
    there = [[True, False, True], [True, True, False, False], [True, True]]
    return [
        (torch.randn(n, len(row), generator=made), _neighbours(weight), torch.tensor(row))
        for n, row, weight in zip((5, 6, 4), there, (1.0, 3.0, 2.0), strict=True)
    ]


def _stepped(logits, target, wrong_way=False):
    """Loss and gradient at logits, of KL(target || f), or the wrong way round."""
    logits = logits.clone().requires_grad_()
    q, f = target(logits), logits.softmax(1)
    a, b = (f, q) if wrong_way else (q, f)
    loss = (a * (a.clamp(min=1e-6).log() - b.clamp(min=1e-6).log())).sum(1).mean()
    loss.backward()
    return loss.detach(), logits.grad


def _allowed(logits, present):
    return -logits.masked_fill(~present, -1e4).log_softmax(1)


constrain_step = chapter.exercise(
    "constrain_step",
    _constrain_step,
    cases=_constrain_cases,
    mistakes={
        "through_q": lambda logits, crf, present: _stepped(logits, lambda x: crf(_allowed(x, present))),
        "wrong_way": lambda logits, crf, present: _stepped(
            logits, lambda x: crf(_allowed(x, present)).detach(), wrong_way=True
        ),
        "absent_allowed": lambda logits, crf, present: _stepped(
            logits, lambda x: crf(-x.log_softmax(1)).detach()
        ),
        "logits_given": lambda logits, crf, present: _stepped(
            logits, lambda x: crf(x.masked_fill(~present, -1e4)).detach()
        ),
        "sum_over_cells": lambda logits, crf, present: tuple(
            len(logits) * part for part in _constrain_step(logits, crf, present)
        ),
    },
)


# ------------------------------------------------------------------------------------------ there and back


def _forward_backward_error(there, back):
    height, width = there.shape[:2]
    x, y = there[..., 0] + np.arange(width), there[..., 1] + np.arange(height)[:, None]
    returned = carry_shares(back.transpose(2, 0, 1), there).transpose(1, 2, 0)
    error = np.linalg.norm(there + returned, axis=2)
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return np.where(outside, np.inf, error)


def _flow_cases():
    random = np.random.default_rng(4)
    cases = []
    for size, motion in (((5, 7), 1.5), ((6, 4), 0.8), ((4, 9), 3.0)):
        there, back = motion * random.standard_normal((2, *size, 2))
        cases.append((there, back))
    right = np.zeros((4, 6, 2))
    right[..., 0] = 1.0
    return [*cases, (right, -right), (right[..., ::-1].copy(), -right[..., ::-1])]


def _inside_only(there, back, returned, sign=1):
    """The reference's infinities, and another error inside."""
    wanted = _forward_backward_error(there, back)
    return np.where(np.isinf(wanted), np.inf, np.linalg.norm(there + sign * returned, axis=2))


def _read(flow, along):
    return carry_shares(flow.transpose(2, 0, 1), along).transpose(1, 2, 0)


forward_backward_error = chapter.exercise(
    "forward_backward_error",
    _forward_backward_error,
    cases=_flow_cases,
    mistakes={
        "read_at_the_start": lambda there, back: _inside_only(there, back, back),
        "minus": lambda there, back: _inside_only(there, back, _read(back, there), -1),
        "x_and_y": lambda there, back: _inside_only(there, back, _read(back, there[..., ::-1])),
        "finite_outside": lambda there, back: np.linalg.norm(there + _read(back, there), axis=2),
        "left_and_top_only": lambda there, back: np.where(
            (there[..., 0] + np.arange(there.shape[1]) < 0)
            | (there[..., 1] + np.arange(there.shape[0])[:, None] < 0),
            np.inf,
            np.linalg.norm(there + _read(back, there), axis=2),
        ),
    },
)


# ------------------------------------------------------------------------------- the interactive segmenter


def _interactive(first, learn, annotate, rounds):
    strokes = first.copy()
    history = []
    for _ in range(rounds):
        predicted = learn(strokes)
        history.append(predicted)
        drawn = annotate(predicted)
        if (drawn == 255).all():
            break
        strokes = np.where(drawn == 255, strokes, drawn)
    return history, strokes


class _Session:
    """A learner that answers the number of its call, and an annotator who draws what she was told to."""

    def __init__(self, drawn):
        self.taught: list[np.ndarray] = []
        self.shown: list[int] = []
        self.drawn = [np.array(row, np.uint8)[None] for row in drawn]

    def learn(self, strokes):
        self.taught.append(np.array(strokes))
        return np.full(np.shape(strokes), len(self.taught), np.uint8)

    def annotate(self, predicted):
        self.shown.append(int(predicted[0, 0]))
        k = len(self.shown) - 1
        return self.drawn[k] if k < len(self.drawn) else np.full((1, 4), 255, np.uint8)


_NOTHING = [255] * 4
_FIRST = [0, 255, 255, 2]


def _session(answer, drawn, rounds=5):
    """The session, what came back, and the first strokes afterwards."""
    session, first = _Session(drawn), np.array([_FIRST], np.uint8)
    history, strokes = answer(first, session.learn, session.annotate, rounds)
    return session, [int(x[0, 0]) for x in history], np.asarray(strokes)[0].tolist(), first[0].tolist()


def _rows(session):
    return [row[0].tolist() for row in session.taught]


interactive = chapter.open_task(
    "interactive",
    _interactive,
    {
        "first_strokes": lambda f: _rows(_session(f, [])[0])[0] == _FIRST,
        "sees_the_answer": lambda f: _session(f, [[255, 1, 255, 255]])[0].shown == [1, 2],
        "strokes_add_up": lambda f: (
            _rows(_session(f, [[255, 1, 255, 255], [255, 255, 3, 255]])[0])[1:]
            == [[0, 1, 255, 2], [0, 1, 3, 2]]
        ),
        "later_counts": lambda f: _rows(_session(f, [[1, 255, 255, 0]])[0])[1] == [1, 255, 255, 0],
        "stops": lambda f: len(_session(f, [[255, 1, 255, 255], _NOTHING, [1, 1, 1, 1]])[0].taught) == 2,
        "no_more_rounds": lambda f: len(_session(f, [[1, 255, 255, 255]] * 9, rounds=3)[0].taught) == 3,
        "what_comes_back": lambda f: (
            _session(f, [[255, 1, 255, 255], _NOTHING])[1:3] == ([1, 2], [0, 1, 255, 2])
        ),
        "input_kept": lambda f: _session(f, [[1, 1, 1, 1]])[3] == _FIRST,
    },
)


after_the_hints = chapter.quiz("after_the_hints")
