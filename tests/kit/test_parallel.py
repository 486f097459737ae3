"""Many items on several processes: order, errors, and what a process that dies may cost."""

import os
import signal
import subprocess
import sys
import time
from itertools import count, islice
from pathlib import Path

import pytest

from lecturekit.kit.parallel import WINDOW, mapped


def test_values_come_in_order_and_an_error_with_its_item():
    found = list(mapped(os.path.getsize, [os.devnull, "/no/such/file", os.devnull], 2))
    assert [value for value, _ in found] == [0, None, 0]
    assert isinstance(found[1].error, FileNotFoundError)


def test_an_item_that_ends_its_process_costs_the_others_nothing():
    """`os._exit` ends a process as a kill does: without a word."""
    texts = ["6 * 7", "__import__('os')._exit(1)", "1 + 1", "2 + 2"]
    found = list(mapped(eval, texts, 2))
    assert [value for value, _ in found] == [42, None, 2, 4]
    assert "died twice" in str(found[1].error)


def test_items_are_read_only_a_little_ahead():
    taken = []

    def items():
        for k in count():
            taken.append(k)
            yield -k

    assert [value for value, _ in islice(mapped(abs, items(), 1), 3)] == [0, 1, 2]
    assert len(taken) <= 3 + WINDOW


def test_processes_have_one_thread():
    (found,) = mapped(os.getenv, ["OMP_NUM_THREADS"], 1)
    assert found.value == "1"


@pytest.mark.skipif(os.name == "nt", reason="asks for a process by its number")
def test_a_kill_leaves_no_process_behind(tmp_path):
    note = tmp_path / "pid"
    item = (
        f"open({str(note)!r}, 'w').write(str(__import__('os').getpid())) or 1, __import__('time').sleep(999)"
    )
    code = f"from lecturekit.kit.parallel import mapped; list(mapped(eval, [{item!r}], 1))"
    run = subprocess.Popen([sys.executable, "-c", code])
    while not (note.exists() and note.read_text()):
        assert run.poll() is None
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    for _ in range(30_000):
        if not runs(int(note.read_text())):
            break
        time.sleep(0.01)
    else:
        os.kill(int(note.read_text()), signal.SIGKILL)
        pytest.fail("the worker lives on")


def runs(pid: int) -> bool:
    """Whether a process has this number and has not ended: one that nobody waits for stays listed."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_number_of_workers(workers):
    with pytest.raises(ValueError, match="workers must be a whole number"):
        list(mapped(abs, [1], workers))
