"""Which MPC node of a running query is lost, by whether it is heard and what its peers signed. Pure.

Silence alone replaces nobody: a survivor or owner must have signed that the node is gone.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from eth_utils import keccak

from soterone.domain.ids import Account

OUTDATED_SECONDS = 60.0
"""A complaint so much older than the latest is of another accident, and says nothing of this one."""

LINK_PATIENCE_SECONDS = 2.0
"""So long a complaint about a node that is online waits for the others', which tell who of the two is cut off."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A participant's signed word, in the present generation, that it cannot work with an MPC node.

    `unlinked`: the two could not compute together; otherwise the node does not answer. `at` in seconds.
    """

    reporter: Account
    lost: Account
    unlinked: bool
    at: float


@dataclass(frozen=True, slots=True)
class Loss:
    """An MPC node to replace. `blamed`: it fell silent; otherwise its links failed, which is nobody's fault."""

    node: Account
    blamed: bool


@dataclass(frozen=True, slots=True)
class OpenReplacement:
    """A loss that was recorded and whose successor the chain does not know yet.

    `seeded`: the block that the draw takes its seed from stands. `vacant_since`: when a draw first found nobody.
    """

    loss: Loss
    seeded: bool = False
    vacant_since: float | None = None


def find_loss(
    complaints: Sequence[Complaint], silent: Collection[Account], lot: bytes, now: float
) -> Loss | None:
    """Return the node to replace now, None when there is none.

    A node that is silent and complained of goes first. Otherwise, once a complaint of a failed link is old enough,
    the one of whom most links are said to fail; `lot` is what decides between equals.
    """
    gone = sorted({one.lost for one in complaints if one.lost in silent})
    if gone:
        return Loss(gone[0], blamed=True)
    if any(one.unlinked and now >= one.at + LINK_PATIENCE_SECONDS for one in complaints):
        return Loss(_most_suspected(complaints, lot), blamed=False)
    return None


def lot_of(query_id: bytes, generation: int) -> bytes:
    """Return what decides between equals: a hash that nobody chose, another one in each generation."""
    return keccak(query_id + generation.to_bytes(1))


def _most_suspected(complaints: Sequence[Complaint], lot: bytes) -> Account:
    """A failed link casts suspicion on both its ends, but the chain replaces only whom somebody signed against."""
    latest = max(one.at for one in complaints)
    said = [one for one in complaints if one.unlinked or one.at > latest - OUTDATED_SECONDS]
    accused = {one.lost for one in said}
    links = {frozenset((one.reporter, one.lost)) for one in said}
    suspicion = Counter(end for link in links for end in link & accused)
    most = max(suspicion.values())
    tied = sorted(node for node in accused if suspicion[node] == most)
    return tied[int.from_bytes(lot) % len(tied)]
