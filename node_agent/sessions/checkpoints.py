"""An MPC node's checkpoints of one query: kept sealed, named by who wrote them, and chosen from together.

Only checkpoints that the same attempt wrote after the same epoch fit together: that is their identity.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node_agent.sessions.states import Fence
from node_agent.workspace.folder import Workspace
from soterone.crypto.accounts import account, account_bytes
from soterone.domain.ids import Account
from soterone.rpc.generated import peer_pb2

KEPT = 3
"""The engines of a trio are an epoch apart at most, and their agents another: of three, one is common."""

HOLDERS_NEEDED = 2
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)-(\d+)\Z")


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """What a training had reached: `fence` is that of the attempt that wrote it."""

    epoch: int
    fence: Fence

    @property
    def name(self) -> str:
        """Its name in the workspace."""
        return f"checkpoint-{self.fence.generation}-{self.fence.attempt}-{self.epoch}"

    @classmethod
    def from_wire(cls, message: peer_pb2.Checkpoint) -> "Checkpoint":
        """Read what a peer says it keeps."""
        return cls(message.epoch, Fence(message.generation, message.attempt))

    def to_wire(self) -> peer_pb2.Checkpoint:
        """Return it for a peer."""
        return peer_pb2.Checkpoint(
            generation=self.fence.generation, attempt=self.fence.attempt, epoch=self.epoch
        )


@dataclass(frozen=True, slots=True)
class Resume:
    """Where an attempt goes on. Without `lenders` every MPC node has the checkpoint; else these two, the one of the
    lower rank first, share theirs anew to all three."""

    checkpoint: Checkpoint
    lenders: tuple[Account, ...] = ()

    @classmethod
    def from_wire(cls, message: peer_pb2.Resume) -> "Resume":
        """Read the leader's choice; ValueError when an account is none."""
        lenders = tuple(account(lender) for lender in message.lenders)
        return cls(Checkpoint.from_wire(message.checkpoint), lenders)

    def to_wire(self) -> peer_pb2.Resume:
        """Return it for a Start."""
        return peer_pb2.Resume(
            checkpoint=self.checkpoint.to_wire(), lenders=[account_bytes(one) for one in self.lenders]
        )

    def fits(self, mpcs: Sequence[Account]) -> bool:
        """Say whether nobody lends, or two MPC nodes in the order of their ranks."""
        ranks = [mpcs.index(lender) if lender in mpcs else -1 for lender in self.lenders]
        return not ranks or (len(ranks) == HOLDERS_NEEDED and -1 < ranks[0] < ranks[1])


def choose(held: Mapping[Account, Sequence[Checkpoint]], mpcs: Sequence[Account]) -> Resume | None:
    """Return the furthest checkpoint that at least two of the trio hold; None: begin from the beginning.

    `mpcs` stand by rank. Pure: equal arguments give equal answers.
    """
    sets = {mpc: frozenset(held.get(mpc, ())) for mpc in mpcs}
    for checkpoint in sorted(frozenset().union(*sets.values()), reverse=True):
        holders = [mpc for mpc in mpcs if checkpoint in sets[mpc]]
        if len(holders) == len(mpcs):
            return Resume(checkpoint)
        if len(holders) >= HOLDERS_NEEDED:
            return Resume(checkpoint, tuple(holders[:HOLDERS_NEEDED]))
    return None


def kept(workspace: Workspace) -> list[Checkpoint]:
    """Return the checkpoints that a workspace has, furthest first."""
    found = (_NAME.match(name) for name in workspace.names())
    numbers = [tuple(map(int, match.groups())) for match in found if match]
    return sorted((Checkpoint(epoch, Fence(g, a)) for g, a, epoch in numbers), reverse=True)


def keep(workspace: Workspace, checkpoint: Checkpoint, file: Path) -> None:
    """Seal an engine's checkpoint and drop those beyond the newest `KEPT`; one that the engine has removed is skipped.

    Blocks on the disk.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    workspace.write(checkpoint.name, content)
    by_age = sorted(kept(workspace), key=lambda one: (one.fence, one.epoch), reverse=True)
    for old in by_age[KEPT:]:
        workspace.remove(old.name)


def drop(workspace: Workspace) -> None:
    """Forget all checkpoints, as they do not fit together."""
    for checkpoint in kept(workspace):
        workspace.remove(checkpoint.name)
