"""What the code says of itself, for tests that compare it with the pages: events, fields, reasons, codes."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "kazoo_provisioner"

LEVELS = {"debug", "info", "warning", "error"}
Call = tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.Call]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules() -> list[ast.Module]:
    return [tree(path) for path in sorted(PACKAGE.rglob("*.py"))]


def functions(module: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def constants(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def calls(name: str) -> Iterator[ast.Call]:
    """Every call of a function or method of this name."""
    for module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                called = node.func
                found = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                if found == name:
                    yield node


def text_at(node: ast.Call, index: int) -> set[str]:
    """The constant at one place of a call; nothing where a variable stands there."""
    if len(node.args) <= index:
        return set()
    argument = node.args[index]
    return (
        {argument.value} if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else set()
    )


def is_logger(node: ast.AST) -> bool:
    direct = isinstance(node, ast.Name) and node.id == "log"
    return direct or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_logger"
    )


def log_calls(module: ast.Module) -> Iterator[tuple[Call, set[str]]]:
    """Every call of a logger in a function, with its levels. `tell` is a logger's method under another name."""
    for function in functions(module):
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Attribute) and is_logger(called.value):
                if called.attr == "log":
                    yield (function, node), {"info", "warning"}
                elif called.attr in LEVELS:
                    yield (function, node), {called.attr}
                else:
                    assert called.attr in {"bind", "new"}, f"log.{called.attr}: teach this test"
            elif isinstance(called, ast.Name) and called.id == "tell":
                given = [
                    n.value for n in ast.walk(function)
                    if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "tell"
                ]  # fmt: skip
                assert given, f"line {node.lineno}: tell is not assigned here"
                attributes = [a for value in given for a in ast.walk(value) if isinstance(a, ast.Attribute)]
                yield (function, node), {a.attr for a in attributes if a.attr in LEVELS}


def handled_kinds(module: ast.Module) -> set[str]:
    """Kinds of subjects: the methods of Reconciler that take a mark."""
    return {
        f.name.removeprefix("_")
        for f in functions(module)
        if [a.arg for a in f.args.args] == ["self", "due", "rest", "now"]
    }


def events_of(module: ast.Module, function: ast.AST, node: ast.expr) -> set[str]:
    """The event names that the first argument of a log call can be."""
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return events_of(module, function, node.body) | events_of(module, function, node.orelse)
    if isinstance(node, ast.JoinedStr):
        tail = node.values[-1]
        assert isinstance(tail, ast.Constant)
        assert isinstance(node.values[0], ast.FormattedValue)
        return {f"{kind}{tail.value}" for kind in handled_kinds(module)}
    if isinstance(node, ast.Starred):
        assert isinstance(node.value, ast.Call)
        name = getattr(node.value.func, "id", "")
        (made,) = [f for f in functions(module) if f.name == name]
        tuples = [t for t in ast.walk(made) if isinstance(t, ast.Tuple)]
        return {c for t in tuples for c in constants(t)}
    assert isinstance(node, ast.Name), f"line {node.lineno}: teach this test what event this is"
    return {
        n.value.value for n in ast.walk(function)
        if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == node.id
        and isinstance(n.value, ast.Constant)
    }  # fmt: skip


def fields_of(function: ast.AST, call: ast.Call) -> set[str]:
    named = {k.arg for k in call.keywords if k.arg}
    if any(k.arg is None for k in call.keywords):
        for node in ast.walk(function):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Subscript) and getattr(target.value, "id", "") == "fields":
                named |= constants(target.slice)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and getattr(target, "id", "") == "fields":
                dicts = [d for d in ast.walk(node) if isinstance(d, ast.Dict)]
                named |= {k.value for d in dicts for k in d.keys if isinstance(k, ast.Constant)}
    return named


def logged() -> dict[str, tuple[set[str], set[str]]]:
    """Every event of the code: (levels, fields)."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for module in modules():
        for (function, call), levels in log_calls(module):
            names = events_of(module, function, call.args[0])
            assert names, f"line {call.lineno}: no event found"
            for name in names:
                seen = found.setdefault(name, (set(), set()))
                seen[0].update(levels)
                seen[1].update(fields_of(function, call))
    return found


def problem_codes() -> set[str]:
    codes = {
        code for name in ("WithdrawError", "Cannot") for call in calls(name) for code in text_at(call, 0)
    }
    return codes | {code for call in calls("_failed") for code in text_at(call, 1)}


def warning_codes() -> set[str]:
    codes = {code for name in ("warn", "Warning_") for call in calls(name) for code in text_at(call, 0)}
    return codes | {code for call in calls("_choice") for code in text_at(call, 1)}


def reasons() -> set[str]:
    """Reasons of a request that are not problems of a phone."""
    found = {code for call in calls("Answer") for code in text_at(call, 1)} | {"limited"}  # web/server.py
    for path, name in (
        ("web/phones.py", "_missing"),
        ("web/api.py", "answer"),
        ("store/reader.py", "why_not"),
    ):
        (function,) = [f for f in functions(tree(PACKAGE / path)) if f.name == name]
        for node in ast.walk(function):
            is_reason = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason"
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                found |= constants(node.value.elts[1])
            elif is_reason or (
                isinstance(node, ast.Return) and isinstance(node.value, ast.Constant | ast.IfExp)
            ):
                found |= constants(node.value)
    return found
