"""Small changes to a function's source, one at a time: what a check must be able to refuse."""

import ast
import copy
import inspect
import textwrap

_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.Is: ast.IsNot,
}
_REVERSED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_NAMES = {
    "min": "max",
    "max": "min",
    "amax": "amin",
    "amin": "amax",
    "argmax": "argmin",
    "argmin": "argmax",
    "sum": "mean",
    "mean": "sum",
    "median": "mean",
    "any": "all",
    "all": "any",
    "zeros": "ones",
    "ones": "zeros",
    "abs": "sign",
    "softmax": "log_softmax",
    "clamp": "float",
    "uint8": "float32",
    "bool": "float",
    "stack": "cat",
    "width": "height",
}
_DROPPED = {"abs", "clamp", "clone", "copy", "softmax", "sum", "mean", "T", "exp", "sorted"}


def mutants(function):
    """The changed functions, each with a description of its change."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    nodes = list(ast.walk(tree))
    seen = {ast.dump(tree)}
    for at in range(len(nodes)):
        for change in range(99):
            changed = copy.deepcopy(tree)
            node = list(ast.walk(changed))[at]
            options = list(_options(node, [a.arg for a in tree.body[0].args.args]))
            if change >= len(options):
                break
            options[change]()
            new = ast.dump(changed)
            if new in seen:
                continue
            seen.add(new)
            ast.fix_missing_locations(changed)
            try:
                source = ast.unparse(changed)
                names = dict(function.__globals__)
                exec(compile(source, f"<mutant of {function.__name__}>", "exec"), names)
            except (SyntaxError, ValueError):
                continue
            yield _description(tree, changed), names[function.__name__]


def _description(before, after):
    """The first line that differs, before and after."""
    lines = [ast.unparse(t).splitlines() for t in (before, after)]
    for old, new in zip(*lines, strict=False):
        if old != new:
            return f"{old.strip()} -> {new.strip()}"
    return "a line dropped"


def _options(node, parameters):
    """Functions that change a node in place, one for each way."""
    yield from _operators(node)
    yield from _constants(node)
    yield from _calls(node, parameters)
    yield from _structure(node)


def _operators(node):
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield lambda: setattr(node, "op", _OPERATORS[type(node.op)]())
    if isinstance(node, ast.BinOp):
        yield lambda: _become(node, node.left)
        yield lambda: _become(node, node.right)
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Pow | ast.MatMult):
            yield lambda: node.__dict__.update(left=node.right, right=node.left)
    if isinstance(node, ast.UnaryOp):
        yield lambda: _become(node, node.operand)
    if isinstance(node, ast.Compare):
        for table in (_OPERATORS, _REVERSED):
            if type(node.ops[0]) in table:
                yield lambda table=table: node.ops.__setitem__(0, table[type(node.ops[0])]())


def _constants(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield lambda: setattr(node, "value", node.value + 1)
        yield lambda: setattr(node, "value", node.value - 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield lambda: setattr(node, "value", node.value * 2)
        yield lambda: setattr(node, "value", node.value / 2)


def _calls(node, parameters):
    if isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield lambda: setattr(node, "attr", _NAMES[node.attr])
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in _NAMES and node.id not in parameters:
            yield lambda: setattr(node, "id", _NAMES[node.id])
        if node.id in parameters:
            for other in parameters:
                if other != node.id:
                    yield lambda other=other: setattr(node, "id", other)
    if isinstance(node, ast.Call):
        if len(node.args) >= 2:
            yield lambda: node.args.__setitem__(slice(0, 2), node.args[1::-1])
        for k in range(len(node.keywords)):
            yield lambda k=k: node.keywords.pop(k)
        if len(node.args) >= 1:
            yield lambda: node.args.pop()
        if isinstance(node.func, ast.Attribute) and node.func.attr in _DROPPED:
            yield lambda: _become(node, node.func.value)
        if isinstance(node.func, ast.Name) and node.func.id in _DROPPED and len(node.args) == 1:
            yield lambda: _become(node, node.args[0])


def _structure(node):
    if isinstance(node, ast.Slice):
        for part in ("lower", "upper", "step"):
            if getattr(node, part) is not None:
                yield lambda part=part: setattr(node, part, None)
    if isinstance(node, ast.Tuple | ast.List):
        for k in range(len(node.elts) - 1):
            yield lambda k=k: node.elts.__setitem__(slice(k, k + 2), node.elts[k : k + 2][::-1])
    if isinstance(node, ast.IfExp):
        yield lambda: _become(node, node.body)
        yield lambda: _become(node, node.orelse)
    if isinstance(node, ast.comprehension) and node.ifs:
        yield lambda: node.ifs.clear()
    if isinstance(node, ast.If):
        yield lambda: setattr(node, "test", ast.Constant(True))
        yield lambda: setattr(node, "test", ast.Constant(False))
    if isinstance(node, ast.FunctionDef | ast.For | ast.If) and len(node.body) > 1:
        for k, statement in enumerate(node.body):
            if not isinstance(statement, ast.Return):
                yield lambda k=k: node.body.__setitem__(k, ast.Pass())


def _become(node, other):
    """Turn `node` into `other` where it stands."""
    node.__class__ = other.__class__
    fields = dict(other.__dict__)
    node.__dict__.clear()
    node.__dict__.update(fields)
