"""Quizzes: marking, the widget's traits, the still form, and rules that every quiz of the course keeps."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lecturekit.exercises import Exercise, modules
from lecturekit.exercises.quiz import Option, Question, Quiz, mark, quizzes_in

ALL = [pytest.param(quiz, id=quiz.name) for module in modules() for quiz in quizzes_in(module)]
every_quiz = pytest.mark.parametrize("quiz", ALL)


# ---------------------------------------------------------------- every quiz of every chapter


def test_every_module_has_a_quiz_under_its_own_name():
    for module in modules():
        held = [n for n, q in vars(module).items() if isinstance(q, Quiz) and not n.startswith("_")]
        assert held == [q.name for q in quizzes_in(module)] != [], module.__name__
        assert not set(held) & {n for n, e in vars(module).items() if isinstance(e, Exercise)}


@every_quiz
def test_two_to_five_questions_with_two_to_six_options(quiz):
    assert 2 <= len(quiz.questions) <= 5
    assert all(2 <= len(q.options) <= 6 for q in quiz.questions)


@every_quiz
def test_every_option_has_feedback_of_its_own(quiz):
    for question in quiz.questions:
        texts = [o.text.strip() for o in question.options]
        feedback = [o.feedback.strip() for o in question.options]
        assert all(texts)
        assert all(len(f) >= 15 for f in feedback), question.text
        assert len(set(texts)) == len(set(feedback)) == len(texts)


@every_quiz
def test_questions_make_sense_in_another_chapter(quiz):
    """They come back there: what points to "this chapter" or to something "above" would point nowhere."""
    for question in quiz.questions:
        texts = [question.text, *(words for o in question.options for words in (o.text, o.feedback))]
        found = [
            t for t in texts if re.search(r"\b([Tt]his (chapter|notebook)|above|below|at the table)\b", t)
        ]
        assert found == []


@every_quiz
def test_place_and_length_do_not_give_the_answer_away(quiz):
    right = [[i for i, o in enumerate(q.options) if o.correct] for q in quiz.questions]
    assert any(r != right[0] for r in right), "the right option always stands in the same place"
    longest = [max(q.options, key=lambda o: len(o.text)) for q in quiz.questions]
    assert not all(o.correct for o in longest), "the longest option is always right"


@every_quiz
def test_right_choice_is_marked_correct_and_every_other_is_not(quiz):
    for question in quiz.questions:
        right = {i for i, o in enumerate(question.options) if o.correct}
        assert mark(question, right).correct
        for i, option in enumerate(question.options):
            assert mark(question, [i]).correct == ({i} == right)
            assert mark(question, [i]).feedback == {i: option.feedback}


@every_quiz
def test_still_form_holds_every_option_and_feedback(quiz):
    page, text = quiz._repr_html_(), str(quiz)
    shown = html.unescape(re.sub(r"<[^>]+>", "", page))
    for question in quiz.questions:
        for words in (question.text, *(w for o in question.options for w in (o.text, o.feedback))):
            assert re.sub(r"[`*]", "", words) in shown.replace("*", "")  # marks of code and of emphasis
            assert words in text
    assert page.count("<details>") == sum(len(q.options) for q in quiz.questions)


# ---------------------------------------------------------------- marking

ONE = Question(
    "1 + 1?", [Option("1", False, "Too few."), Option("2", True, "Yes."), Option("3", False, "Too many.")]
)
SEVERAL = Question(
    "Which are even?",
    [Option("`2`", True, "Yes."), Option("3", False, "It is odd."), Option("4", True, "Twice two.")],
    multiple=True,
)


@given(st.sets(st.integers(0, 2)))
def test_several_are_marked_as_a_set(chosen):
    result = mark(SEVERAL, chosen)
    assert result.correct == (chosen == {0, 2})
    assert set(result.feedback) == chosen
    assert ("there is more" in result.summary) == (chosen in ({0}, {2}))


def test_no_choice_is_not_correct():
    assert not mark(ONE, []).correct
    assert "Not answered" in mark(ONE, []).summary


@pytest.mark.parametrize(("question", "chosen"), [(ONE, [3]), (ONE, [-1]), (ONE, [0, 1]), (SEVERAL, [0, 7])])
def test_impossible_choice_is_refused(question, chosen):
    with pytest.raises(ValueError, match="chosen must hold"):
        mark(question, chosen)


@pytest.mark.parametrize(
    ("right", "multiple"), [((False, False), False), ((True, True), False), ((False, False), True)]
)
def test_question_without_a_proper_answer_is_refused(right, multiple):
    with pytest.raises(ValueError, match="correct option"):
        Question("?", [Option("a", right[0], "x"), Option("b", right[1], "y")], multiple)


def test_results_remember_the_last_choice():
    quiz = Quiz("q", [ONE, SEVERAL])
    assert quiz.results() == [None, None]
    quiz.answer(0, [0])
    quiz.answer(0, [1])
    assert quiz.results() == [mark(ONE, [1]), None]


# ---------------------------------------------------------------- the widget's half in Python


def test_choice_in_the_browser_is_marked_and_remembered():
    quiz = Quiz("q", [ONE, SEVERAL])
    widget = quiz.show()
    assert widget.marks == [None, None]
    widget.chosen = [[0], None]
    assert widget.marks == [{"summary": "✗ Not right yet.", "feedback": [(0, "Too few.")]}, None]
    widget.chosen = [[1], [0, 2]]
    assert [m["summary"] for m in widget.marks] == ["✓ Correct.", "✓ Correct."]
    assert [r.correct for r in quiz.results()] == [True, True]


def test_answers_do_not_travel_with_the_questions():
    state = Quiz("q", [ONE]).show().get_state(["questions", "chosen", "marks"])
    assert "Too few." not in str(state)
    assert "correct" not in str(state).lower()


def test_bundle_holds_live_view_and_still_form():
    data, metadata = Quiz("q", [ONE]).show()._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert "Too few." in data["text/html"]
    assert "Too few." in data["text/plain"]
    assert isinstance(metadata, dict)


def test_still_form_escapes_its_texts():
    page = Quiz(
        "q", [Question("a < b?", [Option("<b>", True, "`x<y`"), Option("c", False, "d")])]
    )._repr_html_()
    assert "<b>" not in page
    assert "<code>x&lt;y</code>" in page
