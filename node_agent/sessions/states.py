"""The states of a session and the steps between them: pure, and the only place that says what may follow what."""

from dataclasses import dataclass
from enum import StrEnum

MAX_ATTEMPTS = 16
"""How many attempts of one generation are numbered at most; nobody follows a leader beyond it."""

UNLINKED_TRIES = 2
"""A pair that cannot link retries once."""


class State(StrEnum):
    """Where a query stands at this node."""

    OFFERED = "offered"
    ORDERED = "ordered"
    JOINED = "joined"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    FAILED = "failed"
    CLEANED = "cleaned"


class Step(StrEnum):
    """What happened. JOIN opens an attempt, RETRY ends it but not the query; the chain says COMPLETE and REPLACE."""

    ORDER = "order"
    JOIN = "join"
    START = "start"
    RETRY = "retry"
    RESULT = "result"
    DELIVERED = "delivered"
    COMPLETE = "complete"
    REPLACE = "replace"
    FAIL = "fail"
    CLEAN = "clean"


COMPUTING = frozenset({State.OFFERED, State.ORDERED, State.JOINED, State.RUNNING})
"""States that `maxRunSeconds` bounds, once the order is on chain."""

LIVE = frozenset({State.ORDERED, State.JOINED, State.RUNNING, State.DELIVERING})
"""States in which the query is still this node's work."""

ENDED = frozenset({State.DONE, State.FAILED})
"""States that wait for nothing but the cleanup."""

_STEPS: dict[tuple[State, Step], State] = {
    (State.OFFERED, Step.ORDER): State.ORDERED,
    (State.ORDERED, Step.JOIN): State.JOINED,
    (State.JOINED, Step.JOIN): State.JOINED,
    (State.RUNNING, Step.JOIN): State.JOINED,
    (State.JOINED, Step.START): State.RUNNING,
    (State.JOINED, Step.RETRY): State.ORDERED,
    (State.RUNNING, Step.RETRY): State.ORDERED,
    (State.RUNNING, Step.RESULT): State.DELIVERING,
    (State.DELIVERING, Step.DELIVERED): State.DONE,
    **{(state, Step.COMPLETE): State.DONE for state in LIVE},
    **{(state, Step.FAIL): State.FAILED for state in (State.OFFERED, *LIVE)},
    # A new generation is a new order: it is examined as the first one was, and older results are void.
    **{(state, Step.REPLACE): State.OFFERED for state in State if state is not State.CLEANED},
    **{(state, Step.CLEAN): State.CLEANED for state in State},
}
_OWNER_STEPS: dict[tuple[State, Step], State] = {
    # An owner has shared and delivered while the MPC nodes may still ask for another attempt.
    **{(state, Step.JOIN): State.JOINED for state in (State.DELIVERING, State.DONE)},
    **{(state, Step.RETRY): State.ORDERED for state in (State.DELIVERING, State.DONE)},
    (State.DONE, Step.FAIL): State.FAILED,
}


class IllegalStepError(Exception):
    """A step that this state does not know."""

    def __init__(self, state: State, step: Step) -> None:
        super().__init__(f"a session that is {state} cannot {step}")
        self.state = state
        self.step = step


def advance(state: State, step: Step, *, owner: bool = False) -> State:
    """Return the state after a step of an owner's or an MPC node's session; IllegalStepError when there is none.

    An MPC node that has a result never leaves towards another attempt of its generation, and nothing leaves CLEANED.
    """
    following = _STEPS.get((state, step)) or (_OWNER_STEPS.get((state, step)) if owner else None)
    if following is None:
        raise IllegalStepError(state, step)
    return following


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """(generation, attempt): whatever carries an older one is refused. It never goes back."""

    generation: int = 0
    attempt: int = 0

    def admits_join(self, other: "Fence") -> bool:
        """Say whether a Join of `other` opens an attempt here, or repeats the one that is open."""
        return other.generation == self.generation and max(self.attempt, 1) <= other.attempt <= MAX_ATTEMPTS
