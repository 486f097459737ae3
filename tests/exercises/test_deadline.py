"""Answers that do not come back, and the button that interrupts them."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from made_exercises import make
from support import LIMIT

from lecturekit.exercises import Outcome, _deadline, _judge

#: Seconds after which the loops below end by themselves, where they should have been stopped long before.
HOUR = 120


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(_judge, "DEADLINE", 0.2)
    monkeypatch.setattr(_deadline, "AGAIN", 0.05)


@pytest.fixture(autouse=True)
def interruptible():
    """Python's own handler of Ctrl-C, which is missing where pytest was started with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def busy(*_):
    end = time.monotonic() + HOUR
    while time.monotonic() < end:
        pass


def deaf(*_):
    end = time.monotonic() + HOUR
    while time.monotonic() < end:
        try:
            sum(range(1000))
        except:  # noqa: E722  # what students write
            continue


def asleep(*_):
    time.sleep(HOUR)


def waiting(*_):
    threading.Event().wait(HOUR)


waits = pytest.mark.skipif(sys.platform == "win32", reason="a wait in the system ends by itself on Windows")
ENDLESS = [busy, deaf, pytest.param(asleep, marks=waits), pytest.param(waiting, marks=waits)]


@pytest.mark.parametrize("answer", ENDLESS)
def test_an_answer_that_never_ends_is_stopped_with_a_kind_word(answer):
    result = make().check(answer)
    assert (result.outcome, result.mistake) == (Outcome.WRONG, "overdue")
    assert "after 0.2 seconds and was stopped" in result.message
    assert "line " in result.message
    time.sleep(3 * _deadline.AGAIN)  # nothing arrives late


@pytest.mark.parametrize("answer", ENDLESS)
def test_the_cells_below_go_on_with_the_reference(answer, capsys):
    exercise = make()
    name = exercise.use(answer)
    assert exercise.check(name).outcome is Outcome.NOT_ATTEMPTED  # the stand-in
    assert "go on with the reference" in capsys.readouterr().out


def test_it_works_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(make().check(busy)), daemon=True)
    thread.start()
    thread.join(60)
    assert found[0].mistake == "overdue"


def test_the_time_is_for_all_cases_together(monkeypatch):
    monkeypatch.setattr(_judge, "DEADLINE", 0.5)
    calls = []

    def slow(a, b):
        calls.append(a)
        time.sleep(0.1)
        return a

    exercise = make(reference=lambda a, b: a, cases=lambda: [(1.0, 2.0)] * 50)
    assert exercise.check(slow).mistake == "overdue"
    assert len(calls) < 50


def test_what_comes_back_in_time_is_left_alone(monkeypatch):
    monkeypatch.setattr(_judge, "DEADLINE", HOUR)
    assert make().check(make().reference).outcome is Outcome.CORRECT


def test_no_stray_exception_follows_a_call_that_ends_at_the_last_moment():
    for _ in range(300):
        with contextlib.suppress(_deadline.Overdue):
            _deadline.call(time.sleep, (0.001,), 0.001)
    for _ in range(1000):
        pass


@waits
def test_interrupt_by_the_user_is_a_result_and_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(_judge, "DEADLINE", HOUR)
    main = threading.main_thread().ident

    def interrupted(*_):  # starts the clock itself, so that the signal never comes before it runs
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        time.sleep(HOUR)

    exercise = make()
    going_on = exercise.use(interrupted)
    shown = capsys.readouterr().out
    assert "You interrupted your code" in shown
    assert exercise.check(going_on).outcome is Outcome.NOT_ATTEMPTED


def test_interrupt_of_the_check_itself_blames_nobody():
    def interrupted():
        raise KeyboardInterrupt

    result = make(cases=interrupted).check(busy)
    assert result.outcome is Outcome.CANNOT_BE_CHECKED
    assert "You interrupted the check" in result.message


@waits
@pytest.mark.parametrize("answer", ENDLESS)
@pytest.mark.parametrize(
    "handler", [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None], ids=["ignored", "default", "own"]
)
def test_an_answer_is_stopped_whatever_handles_the_interrupt(answer, handler):
    signal.signal(signal.SIGINT, handler)
    assert make().check(answer).mistake == "overdue"
    assert signal.getsignal(signal.SIGINT) == handler


@waits
def test_a_handler_of_the_users_own_still_hears_the_users_interrupts(monkeypatch):
    monkeypatch.setattr(_judge, "DEADLINE", HOUR)
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append("own"))

    def interrupted(a, b):
        signal.raise_signal(signal.SIGINT)
        return make().reference(a, b)

    assert make().check(interrupted).outcome is Outcome.CORRECT
    assert set(heard) == {"own"}


@waits
def test_a_handler_that_the_answer_sets_stays(monkeypatch):
    monkeypatch.setattr(_judge, "DEADLINE", HOUR)

    def own(*_):
        pass

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    make().check(lambda *_: signal.signal(signal.SIGINT, own))
    assert signal.getsignal(signal.SIGINT) is own


IGNORED = """
import signal, time
from lecturekit.exercises import _deadline
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
try:
    _deadline.call(time.sleep, [100], 0.2)
except _deadline.Overdue:
    print("stopped")
"""
#: Starts Python as a shell does with `trap '' INT` and for a job in the background of a script.
START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


@waits
def test_a_process_that_was_started_with_the_interrupt_ignored():
    run = subprocess.run(
        [sys.executable, "-c", START, IGNORED], capture_output=True, text=True, timeout=LIMIT
    )
    assert (run.stdout, run.stderr, run.returncode) == ("stopped\n", "", 0)
