"""Votes that were cast on nodes, by this detector and by the others of its panels, as far as they are known here."""

import sqlite3
from dataclasses import dataclass

from soterone.domain.ids import Account


@dataclass(frozen=True, slots=True)
class CastBallot:
    """What one member cast in one kind: the hash of its signature (32 bytes), and once it is known the vote itself, a
    serialised CastVote, empty before or when there is none. `evidence` is JSON, of one's own votes only.

    Kind 0 is a ballot on an appeal: the claim's id stands in place of the node, the vote is a ReversalVotes."""

    epoch: int
    node: Account
    member: Account
    kind: int
    signature_hash: bytes
    vote: bytes = b""
    evidence: str = ""


class BallotTable:
    """The table of ballots. A member's hash is fixed by what it told first."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def cast(self, ballot: CastBallot) -> None:
        """Keep a member's hash; nothing happens when there is one for this node, epoch and kind."""
        self._connection.execute(
            "INSERT OR IGNORE INTO ballots VALUES (?, ?, ?, ?, ?, ?, ?)",
            tuple(getattr(ballot, field) for field in CastBallot.__slots__),
        )

    def reveal(self, ballot: CastBallot) -> bool:
        """Keep a member's vote; False unless it is the one whose hash is known."""
        return bool(
            self._connection.execute(
                "UPDATE ballots SET vote = ? WHERE epoch = ? AND node = ? AND member = ? AND kind = ?"
                " AND signature_hash = ?",
                (ballot.vote, ballot.epoch, ballot.node, ballot.member, ballot.kind, ballot.signature_hash),
            ).rowcount
        )

    def of(self, epoch: int, node: Account) -> list[CastBallot]:
        """Return what is known of the panel that judged a node, by member and kind."""
        rows = self._connection.execute(
            "SELECT * FROM ballots WHERE epoch = ? AND node = ? ORDER BY member, kind", (epoch, node)
        )
        return [CastBallot(**dict(row)) for row in rows]

    def judged_in(self, epoch: int, member: Account) -> list[Account]:
        """Return the nodes that a member cast ballots on in an epoch."""
        rows = self._connection.execute(
            "SELECT DISTINCT node FROM ballots WHERE epoch = ? AND member = ? AND kind > 0 ORDER BY node",
            (epoch, member),
        )
        return [Account(row["node"]) for row in rows]

    def prune(self, first_epoch: int, first_with_evidence: int) -> None:
        """Forget the hashes and votes of epochs before the first, one's own that accuse only before the other: they
        open in appeals."""
        self._connection.execute(
            "DELETE FROM ballots WHERE epoch < ? AND (evidence = '' OR epoch < ?)",
            (first_epoch, first_with_evidence),
        )
