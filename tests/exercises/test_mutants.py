"""Cases that can tell: small changes to each reference, which its check must refuse.

A survivor is allowed only where it is named below with the reason why no answer could tell it apart.
"""

import pytest
from mutants import mutants

from lecturekit.exercises import Outcome, exercises_in, modules
from lecturekit.exercises._judge import Judge

ALL = [pytest.param(e, id=e.name) for module in modules() for e in exercises_in(module)]

SAME_FORM = "a number of another type; `use` hands the reference's type on"
SYMMETRIC = "the order makes no difference to the result"
#: For each exercise: what a surviving change contains, and why it is no fault.
EQUIVALENT = {
    "clear_outside": [("-> inside = np.zeros(labels.shape", "`np.where` takes 0.0 and 1.0 for no and yes")],
    "best_allowed": [
        ("np.full_like(belief, -2)", "any number below all probabilities will do"),
        ("np.full_like(belief, -0)", "of equal ones `argmax` takes the first, background, which is allowed"),
    ],
    "reset_count": [("zip(boxes, classes", "there are as many classes as boxes")],
    "mean_iou": [
        ("-> b, a = ", SYMMETRIC),
        ("-> a, b = ((truth == c) & known, (labels == c) & known)", SYMMETRIC),
        ("& known, truth == c)", "where the truth is c it is not 255"),
    ],
    "agreed_labels": [("b[agreed]", "there a equals b"), ("(b > 0)", "there a equals b")],
    "grad_cam_map": [("(2, 1)", SYMMETRIC)],
    "score_gradient": [
        ("[-1]", "there is one gradient, the first and the last"),
        ("images.detach().requires_grad_()", "a detached tensor has a flag of its own"),
    ],
    "guided_gradient": [("(gradient >= 0)", "a gradient of zero is handed down as zero either way")],
    "seeds_from_map": [("np.full(saliency_map.shape, 2)", SAME_FORM)],
    "commonest": [("max(1 - truth.mean(), truth.mean())", SYMMETRIC)],
    "hit": [("marked.shape", "map and mask have one shape")],
    "blind": [("-> return marked.mean()", "masks of one size: the mean of means is the mean")]
    + [(f"-> return marked.mean({axes}).mean()", SYMMETRIC) for axes in ("", "(2, 1)", "(0, 2)")],
    "labels_in": [
        ("3600 / seconds_per_label)", "`int` cuts off what `//` rounds down"),
    ],
    "moved_box": [("axis=(1, 0)", SYMMETRIC)],
    "only_named": [
        ("[*sorted(named), 0]", "scores that are equal to the last digit do not occur"),
        ("[0, *named]", "the order matters between equal scores only"),
    ],
    "best_mixture": [
        ("min(int(left // box_seconds), pictures - masks)", SYMMETRIC),
        (">= quality(*best)", "of two pairs that are equally good either will do"),
        ("int(left / box_seconds)", "`int` cuts off what `//` rounds down"),
    ],
    "iou_interval": [
        ("-> right, true, named = ", SYMMETRIC),
        ("counts).mean(0)", "a factor of all three cancels in the IoU"),
    ],
    "next_picture": [
        ("for b, a in zip(first", SYMMETRIC),
        ("zip(second, first", SYMMETRIC),
        ("zip(first, second)]", "there are as many answers of one student as of the other"),
        ("zip(first, second, strict=False)", "the same"),
    ],
    "carried": [("np.clip(", "what is looked at outside is ignored anyway")],
    "image_level_loss": [("(2, 1)", SYMMETRIC)],
    "forward_backward_error": [("back.shape[:2]", "both flows have one size")],
    "rank_pool": [("sort(descending=True)", "the last axis, along which `sort` goes by itself, is axis 2")],
    "constrain_step": [
        ("logits = logits.requires_grad_()", "a detached tensor has a flag of its own"),
        ("-20000.0", "any number far below all logits will do"),
        ("-5000.0", "any number far below all logits will do"),
    ],
}


@pytest.fixture(scope="module")
def survivors():
    """For each exercise, how many changes were tried and which were accepted."""
    return {p.values[0].name: _tried(p.values[0]) for p in ALL}


def _tried(exercise):
    changed = list(mutants(exercise.reference))
    return len(changed), [words for words, function in changed if _accepted(exercise, function)]


def _accepted(exercise, function):
    return Judge(exercise, function).result().outcome is Outcome.CORRECT


@pytest.mark.filterwarnings("ignore")  # a wrong answer may divide by zero
def test_every_survivor_is_named_as_equivalent(survivors):
    unnamed = {
        name: left
        for name, (_, accepted) in survivors.items()
        if (left := [w for w in accepted if not any(part in w for part, _ in EQUIVALENT.get(name, []))])
    }
    assert unnamed == {}


@pytest.mark.filterwarnings("ignore")
def test_what_is_named_does_survive(survivors):
    for name, named in EQUIVALENT.items():
        for part, reason in named:
            assert reason
            assert any(part in words for words in survivors[name][1]), (name, part)


@pytest.mark.filterwarnings("ignore")
def test_nearly_all_changes_are_refused(survivors):
    tried = sum(n for n, _ in survivors.values())
    accepted = sum(len(words) for _, words in survivors.values())
    assert tried >= 15 * len(survivors)
    assert 1 - accepted / tried >= 0.97
