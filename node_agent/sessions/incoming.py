"""What others upload for an attempt: encrypted on disk until it is whole, then in the clear on tmpfs for the engine."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from node_agent.peers.errors import StaleFenceError
from node_agent.sessions.attempt import Attempt
from node_agent.workspace.folder import Workspace
from node_agent.workspace.sealed_file import SealedWriter


class IncomingFile:
    """The `ShareSink` of one upload."""

    def __init__(self, workspace: Workspace, attempt: Attempt, destination: Path) -> None:
        self._workspace = workspace
        self._attempt = attempt
        self._destination = destination
        self._name = f"incoming-{destination.name}"
        self._writer: SealedWriter = workspace.writer(self._name)

    @classmethod
    @contextlib.contextmanager
    def open(cls, workspace: Workspace, attempt: Attempt, destination: Path) -> Iterator["IncomingFile"]:
        """Yield a sink for a file of the attempt's folder; leaving without `commit` drops what came."""
        file = cls(workspace, attempt, destination)
        with file._writer:
            yield file

    async def write(self, data: bytes) -> None:
        """Append bytes; workspace.folder.QuotaError when the query's quota is spent."""
        await asyncio.to_thread(self._writer.write, data)

    async def commit(self) -> None:
        """Show the file to the engine of this attempt; StaleFenceError when the attempt ended meanwhile."""
        await asyncio.to_thread(self._writer.commit)
        if self._attempt.ended.done():
            raise StaleFenceError("The attempt ended while its share was on its way.")
        await asyncio.to_thread(self._workspace.expose, self._name, self._destination)
        await asyncio.to_thread(self._workspace.remove, self._name)
