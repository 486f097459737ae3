"""A call that has to come back in time: what never ends is stopped where it runs, in the same thread.

The answer runs in the kernel's own thread, since a network, a figure or a debugger may belong to it. A second
thread watches the clock and, when the time is over, has Python raise :class:`Overdue` there at the next step
of Python code (the same on Linux, macOS and Windows). What waits in the operating system (``time.sleep``,
``input``) makes no such step: it is woken by the signal of Ctrl-C, on Windows once it wakes by itself. That
works as well where the process ignores this signal (a job in the background, ``nohup``) or handles it in its
own way: while the call runs, a handler of ours takes our signals and hands the user's on to the other one.
A loop inside a library written in C cannot be stopped before it returns.
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType


class Overdue(BaseException):
    """Raised within a call whose time is over. No ``Exception``, so that few answers catch it."""


#: Seconds between two attempts to stop a call, for answers that catch what they should not.
AGAIN = 0.5


def call(function: Callable, arguments: Sequence, seconds: float) -> object:
    """What ``function(*arguments)`` returns.

    Args:
        function: anything that can be called.
        arguments: its arguments.
        seconds: how long it may take; less than 0 counts as 0.

    Raises:
        Overdue: it did not come back in time and was stopped.
        BaseException: whatever the function raises, ``KeyboardInterrupt`` where the user interrupts it.
    """
    watch = _Watch()
    try:
        try:
            watch.begin(seconds)
            return function(*arguments)
        finally:
            watch.end()
    except (Overdue, KeyboardInterrupt) as stopped:
        watch.settle()  # for the end itself may be what was stopped
        if watch.attempts and not isinstance(stopped, Overdue):  # it was woken by the watch, not by the user
            raise Overdue().with_traceback(stopped.__traceback__) from None
        raise


class _Watch:
    """Stops the thread that made it, unless :meth:`end` is called in time."""

    def __init__(self) -> None:
        self.attempts = 0
        self._thread = threading.get_ident()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._handler: Callable | int | None = None  # of Ctrl-C, while ours stands in for it
        self._woken = False

    def begin(self, seconds: float) -> None:
        """Let the time run: from now on anything here may be stopped."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            # Python's own already raises what ends a wait; None stands for one that Python did not set.
            if handler not in (signal.default_int_handler, None):
                self._handler = handler
                signal.signal(signal.SIGINT, self._signalled)
        threading.Thread(target=self._guard, args=(max(seconds, 0.0),), daemon=True).start()

    def end(self) -> None:
        """Nothing is raised any more once this has come back."""
        self._over.set()
        with self._lock:
            self._raise(None)
        if self.attempts > 1:  # a signal was sent; its exception comes a few steps of Python code later
            for _ in range(3):
                time.sleep(0.001)
        if self._handler is not None:
            if signal.getsignal(signal.SIGINT) == self._signalled:  # else the call has set one, which stays
                signal.signal(signal.SIGINT, self._handler)
            self._handler = None

    def settle(self) -> None:
        """End, whatever is still raised on the way."""
        for _ in range(100):
            try:
                return self.end()
            except (Overdue, KeyboardInterrupt):
                continue

    def _guard(self, pause: float) -> None:
        while not self._over.wait(pause):
            with self._lock:
                if self._over.is_set():
                    return
                self.attempts += 1
                # The first attempt reaches running code. Was it not heard, the call may wait in the system.
                self._raise(Overdue if self.attempts % 2 else None)
                if self.attempts % 2 == 0:
                    self._wake()
            pause = AGAIN

    def _raise(self, kind: type[BaseException] | None) -> None:
        """Have the watched thread raise `kind` at its next step; None takes back what it has yet to raise."""
        exception = None if kind is None else ctypes.py_object(kind)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), exception)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Stands in for another handler of Ctrl-C: our own signals stop the call, others go to that one."""
        if self._woken:
            self._woken = False
            raise Overdue
        if callable(self._handler):
            self._handler(number, frame)
        elif self._handler == signal.SIG_DFL:
            signal.default_int_handler(number, frame)

    def _wake(self) -> None:
        """Interrupt a wait of the main thread, the only one that signals reach, as Ctrl-C would."""
        if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, self._signalled):
            return
        self._woken = True
        if self._thread == threading.main_thread().ident:
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(self._thread, signal.SIGINT)
            else:
                _thread.interrupt_main()
