"""What is remembered, what comes back, and what "My course" shows."""

import pytest
from made_exercises import make

from lecturekit.exercises import (
    Outcome,
    _memory,
    boxes_to_pixels,
    exercises_in,
    modules,
    my_course,
    open_tasks_in,
    progress,
    recall,
    start_here,
)
from lecturekit.exercises.quiz import quizzes_in
from lecturekit.labs import ladder, simulated, stopwatch

pytestmark = pytest.mark.usefixtures("own_folder")


def test_results_are_remembered_over_restarts(tmp_path):
    exercise = make()
    assert not exercise.solved
    exercise.check(lambda a, b: a)
    assert not exercise.solved
    exercise.check(exercise.reference)
    assert make().solved  # another object, as after a restart
    assert '"outer": "Correct"' in (tmp_path / "exercises.json").read_text("utf-8")


def test_a_later_slip_does_not_take_it_back(capsys):
    exercise = make()
    exercise.check(exercise.reference)
    exercise.check(lambda a, b: a)
    assert exercise.solved
    exercise.use(...)
    assert "You have solved this one before" in capsys.readouterr().out


def test_an_untouched_stub_leaves_no_trace(tmp_path):
    assert make().check(...).outcome is Outcome.NOT_ATTEMPTED
    assert not (tmp_path / "exercises.json").exists()


@pytest.mark.parametrize("content", ["[]", '{"exercises": 3}', "null", '{"questions": {"a": 1}}'])
def test_odd_files_are_no_obstacle(tmp_path, content):
    (tmp_path / "exercises.json").write_text(content, "utf-8")
    exercise = make()
    exercise.check(exercise.reference)
    assert exercise.solved
    assert len(progress()) == len(modules())


def test_a_folder_that_cannot_be_written_does_not_stop_a_check(monkeypatch):
    def refuse(path, content):
        raise PermissionError("no room")

    monkeypatch.setattr(_memory.records, "write", refuse)
    with pytest.warns(UserWarning, match="could not be kept"):
        assert make().check(make().reference).outcome is Outcome.CORRECT


def test_progress_counts_what_is_done():
    first = progress()[0]
    assert (first.number, first.solved, first.right) == ("00", 0, 0)
    assert first.next == f"Exercise: {start_here.labels_in.title}"
    start_here.labels_in.check(start_here.labels_in.reference)
    quiz = start_here.warm_up
    for k, question in enumerate(quiz.questions):
        quiz.answer(k, [i for i, option in enumerate(question.options) if option.correct])
    first = progress()[0]
    assert first.done
    assert (first.solved, first.right, first.next) == (first.exercises, first.questions, "")
    assert "✓ 00" in progress()._repr_html_()
    assert "exercises 1 of 1" in repr(progress())


def test_chapters_come_in_the_order_of_the_course():
    numbers = [c.number for c in progress()]
    assert numbers == sorted(numbers)
    assert [c.notebook for c in progress()][5:7] == [
        "05_class_activation_maps.ipynb",
        "05b_solar_cells.ipynb",
    ]


def earlier(number):
    before = [m for m in modules() if m.chapter.number < number]
    return [q.text for m in before for quiz in quizzes_in(m) for q in quiz.questions]


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.chapter.name)
def test_recall_asks_two_questions_on_earlier_chapters(module):
    asked = [q.text for q in module.chapter.recall().questions]
    assert len(asked) == len(set(asked)) == min(2, len(earlier(module.chapter.number)))
    assert set(asked) <= set(earlier(module.chapter.number))
    assert asked == [q.text for q in recall(module.chapter.number).questions]


def test_chapters_recall_different_things():
    asked = [q.text for module in modules()[3:] for q in module.chapter.recall().questions]
    assert len(set(asked)) > len(asked) / 2


def test_what_was_wrong_comes_back_first_and_what_was_right_last():
    texts = earlier("05")
    for text in texts[1:]:
        _memory.remember("questions", text, True)
    assert recall("05").questions[0].text == texts[0]
    _memory.remember("questions", texts[-1], False)
    assert [q.text for q in recall("05").questions] == [texts[-1], texts[0]]


def test_an_answer_to_a_recalled_question_is_remembered():
    quiz = recall("05")
    wrong = next(i for i, option in enumerate(quiz.questions[0].options) if not option.correct)
    quiz.answer(0, [wrong])
    assert _memory.remembered("questions") == {quiz.questions[0].text: False}
    assert recall("08").questions[0].text == quiz.questions[0].text


def test_every_exercise_is_in_some_chapter():
    assert sum(c.exercises for c in progress()) == sum(len(exercises_in(m)) for m in modules())


def test_my_course_says_what_is_next():
    panel = my_course()
    assert (panel.next.number, panel.predictions, panel.seconds, panel.ladder) == ("00", (0, 0, 0), {}, ())
    assert my_course("05").next.number == "05"
    for exercise in exercises_in(boxes_to_pixels):
        _memory.remember("exercises", exercise.name, Outcome.CORRECT.value)
    panel = my_course("07")  # its exercises are done, its open tasks are not
    assert panel.next.next == f"Open task: {open_tasks_in(boxes_to_pixels)[0].title}"
    for task in open_tasks_in(boxes_to_pixels):
        _memory.remember("tasks", task.name, True)
    assert my_course("07").next.number == "00"  # nothing is left here


def test_my_course_shows_seconds_and_rows_and_links():
    found = stopwatch.measures(simulated.demo_labels())
    stopwatch.export(found)
    ladder.add("07_boxes_to_pixels", "box < mask", 20, 0.5, "mean IoU of labels")
    panel = my_course("01")
    assert "draw an object's outline " in repr(panel)
    html = panel._repr_html_()
    assert "box &lt; mask" in html
    assert 'href="01_annotation_cost.ipynb#Exercise:-What-is-a-label-worth?"' in html
    assert html.count("<tr>") == 1 + len(modules()) + 2
