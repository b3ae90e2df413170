"""One attempt at computing: its engine's address and key, its folder on tmpfs, its task, and how it ended."""

import asyncio
import contextlib
import datetime as dt
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_agent.engines.base import Progress
from node_agent.engines.link_identity import LinkIdentity, new_link_identity
from node_agent.sessions.checkpoints import Resume
from node_agent.sessions.plan import Engine
from node_agent.sessions.port_range import PortRange
from node_agent.sessions.states import Fence
from soterone.domain.ids import Account

BEFORE_LINK = frozenset({"start", "read"})


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended: `again` when another may follow, `linked` when the engines had met, `why` for people."""

    again: bool
    linked: bool = False
    why: str = ""


@dataclass(slots=True)
class Attempt:
    """Opened by a Join, begun by a Start. `stop` is idempotent and leaves no process, port or plaintext."""

    fence: Fence
    engine: Engine
    identity: LinkIdentity = field(repr=False)
    directory: Path
    ports: PortRange
    resume: Resume | None = None
    linked: bool = False
    ended: asyncio.Future[Ended] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _task: asyncio.Task[None] | None = None

    @classmethod
    def open(
        cls,
        account: Account,
        fence: Fence,
        host: str,
        directory: Path,
        ports: PortRange,
        lifetime: dt.timedelta,
    ) -> "Attempt":
        """Take a port and make a key; port_range.NoPortError when none is free."""
        identity = new_link_identity(account, dt.datetime.now(dt.UTC), lifetime)
        engine = Engine(account, host, ports.take(), identity.certificate_pem)
        return cls(fence, engine, identity, directory, ports)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the attempt's work as a task."""
        self._task = asyncio.create_task(work, name=f"attempt {self.fence.attempt}")

    def note(self, progress: Progress) -> None:
        """Remember that the engines have linked: from then on a failure is no longer one of the link."""
        self.linked = self.linked or progress.phase not in BEFORE_LINK

    def end(self, *, again: bool = False, why: str = "") -> None:
        """Tell whoever waits for the end; the first one counts."""
        if not self.ended.done():
            self.ended.set_result(Ended(again, self.linked, why))

    def cancel(self) -> None:
        """Let its work do nothing more, from now on; `stop` has to follow."""
        self.end()
        if self._task is not None:
            self._task.cancel()

    async def stop(self, *, again: bool = False, why: str = "") -> None:
        """Kill the engine and remove the plaintext. Not for the attempt's own task."""
        self.end(again=again, why=why)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.ports.give_back(self.engine.port)
        await asyncio.to_thread(_remove, self.directory)


def _remove(directory: Path) -> None:
    """Remove an attempt's folder, and the folders above that nothing else is in: the query's and the agent's."""
    shutil.rmtree(directory, ignore_errors=True)
    for folder in list(directory.parents)[:2]:
        with contextlib.suppress(OSError):
            folder.rmdir()
