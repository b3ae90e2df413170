"""What something was after each recent event: draws are judged by the state after their seed block."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

TRAIL_BLOCKS = 512
"""How far back a draw can look from the block that a checkpoint was made at; no seed is older."""

_LOG_BITS = 32
_LAST_LOG = (1 << _LOG_BITS) - 1

Trail = dict[Key, list[tuple[int, Value]]]
"""Values by key, each with the moment that brought it, ascending."""


def moment(block: int, log_index: int = _LAST_LOG) -> int:
    """Return the moment of an event, or without its index the end of a block."""
    return block << _LOG_BITS | log_index


def note(trail: MutableMapping[Key, list[tuple[int, Value]]], key: Key, since: int, value: Value) -> None:
    """Remember what `key` is since a moment, the last one noted or a later."""
    steps = trail.setdefault(key, [])
    if steps and steps[-1][0] == since:
        steps.pop()
    steps.append((since, value))


def value_at(trail: Mapping[Key, list[tuple[int, Value]]], key: Key, at: int) -> Value | None:
    """Return what `key` was at a moment, None when nothing was noted by then."""
    steps = trail.get(key, [])
    place = bisect_right(steps, at, key=lambda step: step[0])
    return steps[place - 1][1] if place else None


def values_since(trail: Mapping[Key, list[tuple[int, Value]]], key: Key, at: int) -> Iterator[Value]:
    """Yield what `key` was at a moment, if something was noted by then, and all that it has been since."""
    steps = trail.get(key, [])
    place = bisect_right(steps, at, key=lambda step: step[0])
    yield from (value for _, value in steps[max(0, place - 1) :])


def forget(trail: MutableMapping[Key, list[tuple[int, Value]]], until: int) -> None:
    """Drop what was overtaken by a moment, so that `value_at` still answers from it on."""
    for key, steps in trail.items():
        place = bisect_right(steps, until, key=lambda step: step[0])
        trail[key] = steps[max(0, place - 1) :]
