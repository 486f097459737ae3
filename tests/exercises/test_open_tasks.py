"""Open tasks: the example has every property, an answer that does little has few, each property can fail."""

import re
import time

import numpy as np
import pytest
from mutants import mutants

from lecturekit.exercises import _deadline, _judge, modules, open_tasks_in
from lecturekit.exercises._open_task import Report, task_markdown, task_source

ALL = [pytest.param(t, id=t.name) for module in modules() for t in open_tasks_in(module)]
every_task = pytest.mark.parametrize("task", ALL)


def test_there_are_open_tasks():
    assert {p.values[0].name for p in ALL} >= {"grabcut_round", "crf_kernel", "train_in_rounds"}


@every_task
def test_the_example_has_every_property(task):
    report = task.check(task.example)
    assert report.done, report
    assert len(report) == len(task.properties) >= 5


@every_task
def test_the_stub_is_not_attempted(task):
    names = {}
    exec(task.stub, names)
    assert not task.check(names[task.name])
    assert "Not attempted" in repr(task.check(names[task.name]))
    assert "Not attempted" in repr(task.check())


@every_task
@pytest.mark.parametrize("answer", [lambda *_: 0, lambda *_: 1 / 0, lambda *a: a[-1]])
def test_an_answer_that_does_nothing_is_told_what_does_not_hold(task, answer):
    report = task.check(answer)
    assert not report.done
    assert "✗" in repr(report)
    assert "✗" in report._repr_html_()


@pytest.mark.filterwarnings("ignore")
@every_task
def test_every_property_can_fail_and_small_changes_are_noticed(task):
    reports = [task.check(function) for _, function in mutants(task.example)]
    fallen = {finding.statement for report in reports for finding in report if not finding.holds}
    assert len(fallen) >= len(task.properties) - 1, set(task.properties) - fallen
    assert sum(report.done for report in reports) <= len(reports) / 3


@every_task
def test_hints_lead_up_and_never_give_the_line(task):
    import ast
    import inspect
    import textwrap

    assert len(task.hints) == 3
    told = re.sub(r"\s", "", "".join(task.hints))
    body = ast.parse(textwrap.dedent(inspect.getsource(task.example))).body[0].body
    for statement in body:
        line = re.sub(r"\s", "", ast.unparse(statement)).removeprefix("return")
        assert len(line) < 12 or line not in told
    assert [task.hint() for _ in range(3)][2].endswith("(the last one)")


@every_task
def test_card_and_cell(task):
    card = task_markdown(task)
    assert card.startswith(f"### Open task: {task.title}\n")
    assert all(line in card for line in task.rubric)
    assert card.count("<details>") == 3
    assert 15 <= task.minutes <= 30
    assert task_source(task).endswith(f"exercises.{task.name}.check({task.name})")


def test_an_endless_answer_is_stopped(monkeypatch):
    monkeypatch.setattr(_judge, "DEADLINE", 0.1)
    monkeypatch.setattr(_deadline, "AGAIN", 0.05)
    task = ALL[0].values[0]

    def endless(*_):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            pass

    tried = []

    def counted(*arguments):
        tried.append(arguments)
        return endless()

    report = task.check(counted)
    assert not report.done
    assert len(report) == len(task.properties)
    assert len(tried) == 1, "one wait is enough"
    assert repr(report).count("stopped: it took more than 0.1 seconds") == 1
    assert repr(report).count("not tried: the answer was stopped") == len(report) - 1


def test_an_interrupt_ends_the_check_of_an_open_task():
    task = ALL[0].values[0]

    def interrupted(*_):
        raise KeyboardInterrupt

    report = task.check(interrupted)
    assert "(interrupted)" in repr(report)
    assert repr(report).count("not tried: you interrupted the check") == len(report) - 1


def test_an_empty_report_is_not_done():
    assert not Report().done
    assert np.size(Report()) == 0
