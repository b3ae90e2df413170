"""Small faults that a programmer might make, found in the syntax trees of the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.assurance.inspection import Tree

SWAPS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&": "|", "|": "&", "^": "|", "<<": ">>", ">>": "<<",
    "+=": "-=", "-=": "+=", "|=": "&=", "&=": "|=", "^=": "|=",
}  # fmt: skip
YUL_SWAPS = {
    "add": "sub", "sub": "add", "mul": "div", "div": "mul", "and": "or", "or": "and",
    "lt": "gt", "gt": "lt", "eq": "lt", "shl": "shr", "shr": "shl", "xor": "or",
}  # fmt: skip
GUARDS = {"onlyRole": "_checkRole", "whenNotPaused": "_requireNotPaused"}
"""Modifiers of OpenZeppelin, and the functions that do their work."""
LOOP_HEADS = ("ForStatement.initializationExpression", "ForStatement.loopExpression")


@dataclass(frozen=True, slots=True)
class Place:
    """A range of bytes in a source file."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: what stands at `place` becomes `text`, in the way that `form` says.

    `form` is `expression`, `statement`, `yul` or `guard`.
    """

    path: str
    place: Place
    form: str
    text: str
    what: str


def mutants_of(path: str, tree: Tree, source: bytes) -> list[Mutant]:
    """Every fault that can be planted in a file, in the order of their places."""
    found = [Mutant(path, *one) for one in _walk(tree, source, within=())]
    return sorted(set(found), key=lambda one: (one.place.start, -one.place.end, one.text))


Fault = tuple[Place, str, str, str]


def _walk(node: Tree, source: bytes, within: tuple[str, ...]) -> Iterator[Fault]:
    kind = node["nodeType"]
    if kind == "VariableDeclaration" and node.get("constant"):
        return
    yield from _faults(node, source, within)
    for role, child in _children(node):
        yield from _walk(child, source, (*within[-1:], f"{kind}.{role}"))


def _children(node: Tree) -> Iterator[tuple[str, Tree]]:
    for role, value in node.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and "nodeType" in one:
                yield role, one


def _faults(node: Tree, source: bytes, within: tuple[str, ...]) -> Iterator[Fault]:
    kind, role = node["nodeType"], within[-1] if within else ""
    if kind == "BinaryOperation":
        yield from _operated(node, source, role)
    elif kind == "IfStatement":
        yield from _forced(node["condition"], bool(node.get("falseBody")), node["trueBody"])
    elif kind == "Conditional":
        yield from _forced(node["condition"], True, node)
    elif kind in ("ExpressionStatement", "EmitStatement") and role not in LOOP_HEADS:
        yield from _dropped(node, source)
    elif kind == "FunctionDefinition" and node.get("body"):
        yield from _unguarded(node, source)
    elif kind == "YulFunctionCall" and node["functionName"]["name"] in YUL_SWAPS:
        yield from _yul(node, source)


def _operated(node: Tree, source: bytes, role: str) -> Iterator[Fault]:
    operator = node["operator"]
    constant = "int_const" in node["typeDescriptions"]["typeString"]
    equality_alone = role == "IfStatement.condition" and operator in ("==", "!=")
    if constant or equality_alone:
        return
    swapped = _swapped(node, "leftExpression", "rightExpression", source)
    yield place_of(node), "expression", swapped, f"{operator} to {SWAPS[operator]}"


def _forced(condition: Tree, has_else: bool, body: Tree) -> Iterator[Fault]:
    place = place_of(condition)
    yield place, "expression", "false", "condition never holds"
    if has_else or not _reverts(body):
        yield place, "expression", "true", "condition always holds"


def _reverts(body: Tree) -> bool:
    statements = body.get("statements", [body])
    return bool(statements) and statements[0]["nodeType"] == "RevertStatement"


def _dropped(node: Tree, source: bytes) -> Iterator[Fault]:
    place = Place(place_of(node).start, source.index(b";", place_of(node).end - 1) + 1)
    yield place, "statement", "", "statement dropped"
    expression = node.get("expression", {})
    if expression.get("nodeType") == "Assignment" and expression["operator"] in SWAPS:
        swapped = _swapped(expression, "leftHandSide", "rightHandSide", source)
        change = f"{expression['operator']} to {SWAPS[expression['operator']]}"
        yield place, "statement", f"{swapped};", change


def _unguarded(function: Tree, source: bytes) -> Iterator[Fault]:
    for modifier in function.get("modifiers", []):
        name = modifier["modifierName"]["name"]
        if name in GUARDS:
            arguments = ", ".join(text_of(source, place_of(one)) for one in modifier.get("arguments") or [])
            yield place_of(modifier), "guard", f"{GUARDS[name]}({arguments});", f"{name} dropped"


def _yul(call: Tree, source: bytes) -> Iterator[Fault]:
    arguments = [text_of(source, place_of(one)) for one in call["arguments"]]
    if any("create(" in one for one in arguments):
        return
    name = call["functionName"]["name"]
    swapped = f"{YUL_SWAPS[name]}({', '.join(arguments)})"
    yield place_of(call), "yul", swapped, f"{name} to {YUL_SWAPS[name]}"


def _swapped(node: Tree, left: str, right: str, source: bytes) -> str:
    sides = (text_of(source, place_of(node[side])) for side in (left, right))
    return f" {SWAPS[node['operator']]} ".join(sides)


def place_of(node: Tree) -> Place:
    """Where a node stands; a statement's ends before its semicolon."""
    start, length, _ = map(int, node["src"].split(":"))
    return Place(start, start + length)


def text_of(source: bytes, place: Place) -> str:
    """What stands there."""
    return source[place.start : place.end].decode()
