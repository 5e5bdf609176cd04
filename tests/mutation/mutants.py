"""Make mutants: small changes of a function, each of which some test should notice.

Only what a function does is changed; names, annotations, texts and constants of a module are not.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NO_CONTEXT: Final = "__import__('contextlib').nullcontext()"


@dataclass(frozen=True)
class Mutant:
    """A changed source: *function*, and the lines before and after, without their indentation."""

    function: str
    source: str
    was: str
    now: str


def mutants_of(source: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of its text, each one once."""
    module = ast.parse(source)
    if any(isinstance(one, ast.Assert) and _is_of_another_system(one.test) for one in module.body):
        return []  # the module cannot be imported here
    found = {}
    lines = source.splitlines(keepends=True)
    for function, node, replacement in _changes(module, "", inside=False):
        changed = _replaced(lines, node, replacement)
        was, now = _difference(source, changed)
        found[changed] = Mutant(function, changed, was, now)
    return list(found.values())


def _changes(
    parent: ast.AST, name: str, *, inside: bool
) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    for child in ast.iter_child_nodes(parent):
        if isinstance(child, ast.JoinedStr | ast.arguments):
            continue  # texts for people; annotations and defaults
        if isinstance(child, ast.If) and _is_of_another_system(child.test):
            child = ast.Module(child.orelse, [])  # noqa: PLW2901  # the rest is never run here
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            below = f"{name}.{child.name}".lstrip(".")
            body = ast.Module(child.body, [])  # without decorators and the type of the result
            yield from _changes(body, below, inside=inside or not isinstance(child, ast.ClassDef))
            continue
        if inside and isinstance(child, ast.stmt | ast.expr):
            yield from ((name, child, changed) for changed in _replacements(child, parent, name))
        if inside and isinstance(child, ast.ExceptHandler) and child.type is not None:
            yield name, child.type, "()"
        if inside and isinstance(child, ast.withitem) and child.optional_vars is None:
            yield name, child.context_expr, _NO_CONTEXT
        if not isinstance(child, ast.AnnAssign):
            yield from _changes(child, name, inside=inside)
        elif child.value is not None:
            yield from _changes(ast.Expression(child.value), name, inside=inside)


def _replacements(node: ast.stmt | ast.expr, parent: ast.AST, function: str) -> Iterator[str]:
    if isinstance(node, ast.stmt):
        yield from _changed_statement(node, function)
        return
    match node:
        case ast.Compare(left, [op], others) if other := _COMPARISONS.get(type(op)):
            yield ast.unparse(ast.Compare(left, [other()], others))
        case ast.BoolOp(op, values):
            other_op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"({ast.unparse(ast.BoolOp(other_op, values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield f"bool({ast.unparse(operand)})"
        case ast.BinOp(left, op, right) if swapped := _OPERATORS.get(type(op)):
            yield f"({ast.unparse(ast.BinOp(left, swapped(), right))})"
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() | float() as number):
            yield str(number + 1)
        case ast.Name() | ast.Call() | ast.Attribute() if _decides(parent, node):
            yield f"(not {ast.unparse(node)})"


def _changed_statement(node: ast.stmt, function: str) -> Iterator[str]:
    match node:
        case ast.Return(value) if value and not isinstance(value, ast.Constant):
            yield "return None"
        case ast.Raise() | ast.AugAssign() | ast.Delete() | ast.Expr(ast.Call() | ast.Await()):
            yield "pass"
        # In `__init__` the attribute would be missing at once.
        case ast.Assign([ast.Attribute() | ast.Subscript()]) if not function.endswith("__init__"):
            yield "pass"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"


def _is_of_another_system(test: ast.expr) -> bool:
    match test:
        case ast.Compare(ast.Attribute(attr="platform"), [ast.Eq()], [ast.Constant(value=name)]):
            return name != sys.platform
    return False


def _decides(parent: ast.AST, node: ast.AST) -> bool:
    return isinstance(parent, ast.If | ast.While | ast.IfExp) and parent.test is node


def _replaced(lines: list[str], node: ast.stmt | ast.expr, replacement: str) -> str:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    first, last = lines[node.lineno - 1].encode(), lines[node.end_lineno - 1].encode()
    head = [*lines[: node.lineno - 1], first[: node.col_offset].decode()]
    return "".join(
        [*head, replacement, last[node.end_col_offset :].decode(), *lines[node.end_lineno :]]
    )


def _difference(before: str, after: str) -> tuple[str, str]:
    old, new = before.splitlines(), after.splitlines()
    while old[-1] == new[-1]:
        del old[-1], new[-1]
    first = next(n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other)
    was, now = (" ".join(map(str.strip, lines[first:])) for lines in (old, new))
    return was, now
