"""Runs a student's code shielded from the check, and sees whether it was written at all."""

from __future__ import annotations

import copy
import dis
import inspect
import linecache
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any

import numpy as np
import torch

from lecturekit.exercises import _deadline
from lecturekit.exercises._compare import difference

#: What a function that only returns None or `...` consists of, in every supported Python.
_IDLE = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


@dataclass(frozen=True)
class Run:
    """What came of one call: a value, or the exception and the line that raised it."""

    value: object = None
    error: BaseException | None = None
    line: str = ""  #: the last line of the student's own code on the way to the error
    changed: tuple[int, ...] = ()  #: positions of the arguments that the call changed in place
    left: tuple[str, ...] = ()  #: what the call switched for all that follows, as code; it was put back

    @property
    def stopped(self) -> bool:
        """Whether the call was ended from outside, by the clock or by the user."""
        return isinstance(self.error, _deadline.Overdue | KeyboardInterrupt)

    def same(self, other: Run, rtol: float, atol: float) -> bool:
        """Whether both calls came to the same end: equal values, or the same exception with the same text."""
        if self.error is None and other.error is None:
            return not difference(self.value, other.value, rtol, atol)
        return type(self.error) is type(other.error) and error_text(self.error) == error_text(other.error)


def run(function: Callable, arguments: Sequence, seconds: float | None = None) -> Run:
    """Call `function` on copies of `arguments`, for so many seconds at most; catches whatever it raises."""
    given = [duplicate(a) for a in arguments]
    value, error, line = None, None, ""
    before = _switches()
    try:
        value = function(*given) if seconds is None else _deadline.call(function, given, seconds)
    except BaseException as caught:  # SystemExit too: a check must outlive sys.exit() in an answer
        error, line = caught, _last_line(caught.__traceback__, function)
    left = tuple(name for name, (state, _) in _switches().items() if state != before[name][0])
    for name in left:
        state, put_back = before[name]
        put_back(state)
    changed = tuple(i for i, (a, b) in enumerate(zip(given, arguments, strict=True)) if _changed(a, b))
    return Run(value, error, line, changed, left)


def _switches() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """How the libraries are set for everything that follows, and what sets them so again, by their names."""
    return {
        "torch.set_grad_enabled": (torch.is_grad_enabled(), torch.set_grad_enabled),
        "torch.set_default_dtype": (torch.get_default_dtype(), torch.set_default_dtype),
        "np.seterr": (np.geterr(), lambda state: np.seterr(**state)),
    }


def error_text(error: BaseException | None) -> str:
    """``Type: message`` of an exception, also of one whose message cannot be formed."""
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def is_hole(value: object) -> bool:
    """Whether `value` is the gap of a stub: None, `...`, or a tuple or list with `...` in it."""
    if isinstance(value, tuple | list):
        return any(item is ... for item in value)
    return value is None or value is ...


def handed_on(function: Callable) -> Callable:
    """`function`, marked as the reference that stands in for an answer."""
    setattr(function, "_handed_on", True)  # noqa: B010  # a plain assignment to a function has no type
    return function


def is_handed_on(function: object) -> bool:
    """Whether `function` is such a stand-in."""
    return getattr(function, "_handed_on", None) is True


def code_of(function: Any) -> CodeType | None:
    """Compiled body of a Python function, also a decorated one; None for built-ins, classes and the like."""
    try:
        function = inspect.unwrap(function)
    except ValueError:  # a ring of __wrapped__
        return None
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def untouched(function: object, stub: str) -> bool:
    """Whether `function` does exactly what the function of its name in the source `stub` does.

    Compares compiled instructions, so that comments, docstrings and layout do not count and the source of
    the answer is not needed.
    """
    code = code_of(function)
    given = [c for c in compile(stub, "stub", "exec").co_consts if isinstance(c, CodeType)]
    return code is not None and any(_instructions(code) == _instructions(c) for c in given)


def idle(function: object) -> bool:
    """Whether `function` visibly does nothing but return None or `...` (False where that cannot be seen)."""
    code = code_of(function)
    return code is not None and all(
        name in _IDLE and argument in (None, ...) for name, argument in _instructions(code)
    )


def misfit(function: Callable, arguments: Sequence) -> bool:
    """Whether `function` visibly cannot take so many arguments (False where that cannot be seen)."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return False
    try:
        signature.bind(*arguments)
    except TypeError:
        return True
    return False


def duplicate(value: object) -> object:
    """A copy that shares no memory with `value`, or `value` itself where it cannot be copied."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def _instructions(code: CodeType) -> list[tuple[str, object]]:
    """Instructions of `code` and of the functions inside it, free of line numbers and constant numbering."""
    return [
        (i.opname, _instructions(i.argval) if isinstance(i.argval, CodeType) else i.argval)
        for i in dis.get_instructions(code)
        if i.opname != "RESUME"
    ]


def _changed(after: Any, before: object) -> bool:
    """Whether an argument was changed; what cannot be compared by value (a network) counts as unchanged."""
    if isinstance(before, dict):
        return list(after) != list(before) or any(_changed(after[key], before[key]) for key in before)
    if isinstance(before, tuple | list):
        return len(after) != len(before) or any(map(_changed, after, before))
    if isinstance(before, torch.Tensor | np.ndarray | numbers.Number | str):
        return bool(difference(after, before, 0, 0))
    return False


def _last_line(trace: TracebackType | None, function: Callable) -> str:
    """``line 3: return a @ b``, the innermost line of the traceback that lies in the file of `function`."""
    code, found = code_of(function), ""
    while trace is not None:
        frame = trace.tb_frame
        if code is not None and frame.f_code.co_filename == code.co_filename:
            source = linecache.getline(code.co_filename, trace.tb_lineno).strip()
            found = f"line {trace.tb_lineno}: {source}" if source else f"line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
