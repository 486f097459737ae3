"""One function over many items on several processes: in order, bounded in memory, and hard to stop."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Generic, NamedTuple, TypeVar

from .checks import whole

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Libraries that count their threads read one of these when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Items a worker that are under way or finished and not yet asked for: what bounds the memory.
WINDOW = 2


class Outcome(NamedTuple, Generic[Result]):
    """What became of one item."""

    value: Result | None  #: of the function; None after an error
    error: Exception | None  #: what it raised, or why its process ended


def _start_worker() -> None:
    """One thread, and no life after that of the process that asked: a kill leaves nothing behind."""
    one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Let this process compute with one thread: N workers of one thread each fill N cores, and no more."""
    for name in THREADS:
        os.environ[name] = "1"
    import cv2

    cv2.setNumThreads(1)
    if "torch" in sys.modules:  # else it reads the environment, once it is loaded
        sys.modules["torch"].set_num_threads(1)


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Outcome[Result]]:
    """`function` of each item, in the order of the items, by several processes of one thread each.

    An item that raises gives its error and costs no other item anything. A process that dies (killed, out of
    memory) is replaced; the items that were under way are done again, one at a time, so that the one that
    kills its process is found: its error says so, and the rest goes on.

    The processes are started anew (``spawn``), so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        function: of one item; at the top of a module, so that processes can find it.
        items: read as they are needed, `WINDOW` a worker ahead.
        workers: how many processes; 1 is one process beside this one.

    Yields:
        One outcome an item.

    Raises:
        ValueError: `workers` is no whole number of at least 1.

    Example:
        >>> [outcome.value for outcome in mapped(abs, [-1, 2, -3], workers=1)]
        [1, 2, 3]
    """
    pool = _Pool(function, whole("workers", workers, 1))
    try:
        yield from pool.run(iter(items))
    finally:
        pool.stop()


class _Pool(Generic[Item, Result]):
    """Processes, and the items that they have."""

    def __init__(self, function: Callable[[Item], Result], workers: int):
        self.function = function
        self.workers = workers
        self.executor: ProcessPoolExecutor | None = None
        self.under_way: deque[tuple[Item, Future[Result]]] = deque()

    def run(self, items: Iterator[Item]) -> Iterator[Outcome[Result]]:
        more = True
        while more or self.under_way:
            while more and len(self.under_way) < WINDOW * self.workers:
                try:
                    item = next(items)
                except StopIteration:
                    more = False
                else:
                    self.under_way.append((item, self.submitted(item)))
            if self.under_way:
                yield from self.first()

    def first(self) -> Iterator[Outcome[Result]]:
        """The outcome of the oldest item; after the death of a process, those of all that were under way."""
        try:
            yield _outcome(self.under_way[0][1])
            self.under_way.popleft()
        except BrokenProcessPool:
            left = list(self.under_way)
            self.under_way.clear()
            self.stop()
            for item, future in left:
                done = future.done() and not isinstance(future.exception(), BrokenProcessPool)
                yield _outcome(future) if done else self.alone(item)

    def alone(self, item: Item) -> Outcome[Result]:
        """One item while nothing else is under way; it may kill its process twice."""
        for _ in range(2):
            try:
                return _outcome(self.submitted(item))
            except BrokenProcessPool:
                self.stop()
        return Outcome(None, RuntimeError("its process died twice: out of memory, or killed from outside"))

    def submitted(self, item: Item) -> Future[Result]:
        if self.executor is None:
            self.executor = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_start_worker
            )
        try:
            return self.executor.submit(self.function, item)
        except BrokenProcessPool as error:  # a process died between two items
            future: Future[Result] = Future()
            future.set_exception(error)
            return future

    def stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=True, cancel_futures=True)
            self.executor = None


def _outcome(future: Future[Result]) -> Outcome[Result]:
    """Waits for it. Raises ``BrokenProcessPool`` where a process died."""
    try:
        return Outcome(future.result(), None)
    except BrokenProcessPool:
        raise
    except Exception as error:  # whatever the function raised belongs to its item
        return Outcome(None, error)
