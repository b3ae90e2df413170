"""How much of everything one query or one customer may have."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of the query manager; times in seconds.

    Who did not look at a query for `absence_seconds`, or was deaf, lets results that agents could not deliver come for
    `return_patience_seconds` before it says that a query ran too long.
    """

    offer_seconds: float = 10.0
    proposal_tries: int = 4
    signing_seconds: int = 120
    open_proposals_per_customer: int = 4
    running_queries_per_customer: int = 16
    event_streams_per_customer: int = 32
    share_bytes: int = 64 * 2**20
    store_bytes: int = 8 * 2**30
    final_depth_blocks: int = 0
    event_poll_seconds: float = 0.5
    event_heartbeat_seconds: float = 10.0
    reconcile_seconds: float = 1.0
    suspicion_look_seconds: float = 0.25
    absence_seconds: float = 10.0
    return_patience_seconds: float = 60.0
