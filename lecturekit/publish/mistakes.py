"""The catalogued mistakes of an exercise: what was written, what it does, what to ask back."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..exercises import Exercise, Mistake, _attempt
from ..exercises._compare import difference
from ..exercises._slips import slip

_LONG = re.compile(r"-?\d+\.\d{5,}(e-?\d+)?")  # numbers with more digits than anybody reads


@dataclass(frozen=True)
class Wrong:
    """One known wrong answer.

    Attributes:
        written: code that commits it.
        diagnosis: what the student reads.
        kind: ``"raises"``, ``"kind"``, ``"shape"``, ``"slip"``, ``"sometimes"`` (right on other cases) or
            ``"values"``.
        case: number of the first case on which it shows, counted from 1; 0 for an exercise without cases.
        shows: what it gives there and what is wanted, in words.
    """

    written: str
    diagnosis: str
    kind: str
    case: int
    shows: str


def wrong_answers(exercise: Exercise, module: ModuleType) -> list[Wrong]:
    """The mistakes that the check of an exercise knows, tried on its cases.

    Args:
        exercise: with its mistakes.
        module: in whose source they stand.
    """
    code = written(exercise.name, module)
    return [_tried(exercise, mistake, code.get(mistake.name, "")) for mistake in exercise.mistakes]


def written(name: str, module: ModuleType) -> dict[str, str]:
    """The code of each mistake, as it stands in the module, by the mistake's name.

    Args:
        name: of the exercise.
        module: with a call of ``chapter.exercise``.
    """
    tree = ast.parse(inspect.getsource(module))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_exercise(node, name):
            given = next((k.value for k in node.keywords if k.arg == "mistakes"), None)
            if isinstance(given, ast.Dict):
                pairs = zip(given.keys, given.values, strict=True)
                reference = ast.unparse(node.args[1])
                return {
                    str(key.value): _code(value, functions, reference, name)
                    for key, value in pairs
                    if isinstance(key, ast.Constant)
                }
    return {}


def _is_exercise(call: ast.Call, name: str) -> bool:
    named = bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == name
    return named and isinstance(call.func, ast.Attribute) and call.func.attr == "exercise"


def _code(node: ast.expr, functions: dict[str, ast.FunctionDef], reference: str, name: str) -> str:
    """A lambda's expression; of a helper that does all the work, its body; the reference under its name."""
    body = node.body if isinstance(node, ast.Lambda) else node
    called = body.func if isinstance(body, ast.Call) else body
    helper = functions.get(called.id) if isinstance(called, ast.Name) and called.id != reference else None
    closed = helper is not None and any(isinstance(n, ast.FunctionDef | ast.Lambda) for n in helper.body)
    if helper is None or closed or (isinstance(body, ast.Call) and _takes_functions(body)):
        text = ast.unparse(body)
    else:
        text = "\n".join(ast.unparse(line) for line in helper.body if not _is_docstring(line))
    return text.replace(f"{reference}(", f"{name}(")


def _takes_functions(call: ast.Call) -> bool:
    return any(isinstance(argument, ast.Lambda) for argument in call.args)


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _tried(exercise: Exercise, mistake: Mistake, code: str) -> Wrong:
    if exercise.cases is None:
        met, wanted = [_value(mistake.wrong)], [_value(exercise.reference)]
    else:
        cases = [tuple(case) for case in exercise.cases()]
        met = [_attempt.run(mistake.wrong, case) for case in cases]
        wanted = [_attempt.run(exercise.reference, case) for case in cases]
    rtol, atol = exercise.rtol, exercise.atol
    failing = [
        i for i, pair in enumerate(zip(met, wanted, strict=True)) if not pair[0].same(pair[1], rtol, atol)
    ]
    first = failing[0] if failing else 0
    error = met[first].error
    if error is not None:
        kind, shows = "raises", f"`{_attempt.error_text(error)}`"
    else:
        shows = difference(met[first].value, wanted[first].value, rtol, atol)
        kind = _kind(shows, [(m.value, w.value) for m, w in zip(met, wanted, strict=True)], rtol, atol)
        if kind == "values" and len(failing) < len(met):
            kind = "sometimes"
    case = 0 if exercise.cases is None else first + 1
    return Wrong(code, mistake.diagnosis, kind, case, _LONG.sub(lambda f: f"{float(f[0]):.4g}", shows))


def _value(thing: Any) -> _attempt.Run:
    return _attempt.run(thing, ()) if callable(thing) else _attempt.Run(thing)


def _kind(shows: str, pairs: list[tuple[Any, Any]], rtol: float, atol: float) -> str:
    if shows.startswith("its shape") or " items, wanted" in shows:
        return "shape"
    if any(type(m) is not type(w) and not hasattr(m, "__float__") for m, w in pairs):
        return "kind"
    return "slip" if slip(pairs, rtol, atol) else "values"
