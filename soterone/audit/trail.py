"""What something was after each recent block: draws are judged by the state after their seed block."""

from bisect import bisect_right
from collections.abc import Mapping, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

TRAIL_BLOCKS = 512
"""How far back a draw can look from the block that a checkpoint was made at; no seed is older."""

Trail = dict[Key, list[tuple[int, Value]]]
"""Values by key, each with the height of the block that brought it, ascending."""


def note(trail: MutableMapping[Key, list[tuple[int, Value]]], key: Key, block: int, value: Value) -> None:
    """Remember what `key` is since `block`, the same height or a later one than noted before."""
    steps = trail.setdefault(key, [])
    if steps and steps[-1][0] == block:
        steps.pop()
    steps.append((block, value))


def value_at(trail: Mapping[Key, list[tuple[int, Value]]], key: Key, block: int) -> Value | None:
    """Return what `key` was after `block`, None when nothing was noted by then."""
    steps = trail.get(key, [])
    place = bisect_right(steps, block, key=lambda step: step[0])
    return steps[place - 1][1] if place else None


def forget(trail: MutableMapping[Key, list[tuple[int, Value]]], block: int) -> None:
    """Drop what was overtaken by `block` or before, so that `value_at` still answers from `block` on."""
    for key, steps in trail.items():
        place = bisect_right(steps, block, key=lambda step: step[0])
        trail[key] = steps[max(0, place - 1) :]
