"""Why a query failed: the codes that stand on chain and the sentence that a customer reads."""

from enum import IntEnum


class FailureReason(IntEnum):
    """`QueryFailed.reason`."""

    OWNER_LOST = 1
    NO_SUCCESSOR = 2
    TOO_FEW_COMMON_ROWS = 3
    ENGINE_ERROR = 4
    POLICY_REFUSED = 5
    CANCELLED = 6
    TIMED_OUT = 7
    ABANDONED = 8
    QUARANTINED = 9
    BAD_DATA = 10

    @property
    def sentence(self) -> str:
        """What happened, in words that fit any query."""
        return _SENTENCES[self]


OWN_DOING = frozenset({FailureReason.POLICY_REFUSED, FailureReason.BAD_DATA})
"""Reasons that a node gives of itself alone: who only heard of them does not repeat them in its own name."""

_SENTENCES = {
    FailureReason.OWNER_LOST: "A data owner went away, and its data cannot be replaced.",
    FailureReason.NO_SUCCESSOR: "An MPC node went away and no other node may take its place.",
    FailureReason.TOO_FEW_COMMON_ROWS: "The data owners have too few rows in common.",
    FailureReason.ENGINE_ERROR: "The computation failed.",
    FailureReason.POLICY_REFUSED: "A participant's policy refused the query.",
    FailureReason.CANCELLED: "The customer cancelled the query.",
    FailureReason.TIMED_OUT: "The query ran longer than its order allows.",
    FailureReason.ABANDONED: "Nobody finished the query in time, so it was closed on chain.",
    FailureReason.QUARANTINED: "The query failed repeatedly and was quarantined.",
    FailureReason.BAD_DATA: "A data owner's table does not fit the query.",
}
