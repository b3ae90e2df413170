"""An owner's share on its way in: encrypted on disk until it is whole, then in the clear on tmpfs for the engine."""

import asyncio
import contextlib
from collections.abc import Iterator

from node_agent.peers.errors import StaleFenceError
from node_agent.sessions.attempt import Attempt
from node_agent.sessions.order import Order
from node_agent.sessions.plan import share_file
from node_agent.workspace.folder import Workspace
from node_agent.workspace.sealed_file import SealedWriter
from soterone.domain.ids import Account


class IncomingShare:
    """The `ShareSink` of one upload."""

    def __init__(self, workspace: Workspace, attempt: Attempt, order: Order, owner: Account) -> None:
        self._workspace = workspace
        self._attempt = attempt
        self._destination = share_file(attempt.directory, order, owner)
        self._name = f"share-{attempt.fence.generation}-{order.owners.index(owner)}"
        self._writer: SealedWriter = workspace.writer(self._name)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, workspace: Workspace, attempt: Attempt, order: Order, owner: Account
    ) -> Iterator["IncomingShare"]:
        """Yield a sink; leaving without `commit` drops what came."""
        share = cls(workspace, attempt, order, owner)
        with share._writer:
            yield share

    def write(self, data: bytes) -> None:
        """Append bytes; workspace.folder.QuotaError when the query's quota is spent."""
        self._writer.write(data)

    async def commit(self) -> None:
        """Show the share to the engine of this attempt; StaleFenceError when the attempt ended meanwhile."""
        await asyncio.to_thread(self._writer.commit)
        if self._attempt.outcome.done():
            raise StaleFenceError("The attempt ended while its share was on its way.")
        await asyncio.to_thread(self._workspace.expose, self._name, self._destination)
