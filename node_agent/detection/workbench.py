"""Where a node works a challenge off: a child process with limits, started before the clock runs and killed at will."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Self

from node_agent.detection.tasks import Run
from node_agent.detection.worker import READY
from node_agent.engines.child import PARENT_VARIABLE
from node_agent.engines.process import PASSED_ON

START_SECONDS = 60.0
"""A machine that starts no process for so long is beyond any load that excuses."""

_OWN_MEMORY_BYTES = 512 * 2**20
_LINE_BYTES = 1 << 16


class WorkbenchError(Exception):
    """The child ended, or took longer than its limits, before a run was done."""


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What one challenge may use. `cpu_seconds` counts over all cores, `run_seconds` is of one run by the clock."""

    memory_bytes: int
    cpu_seconds: int
    run_seconds: float = 60.0


@dataclass(slots=True)
class Workbench:
    """One child, ready to compute. `run` may be called one at a time."""

    process: asyncio.subprocess.Process
    limits: WorkLimits

    @classmethod
    async def start(cls, limits: WorkLimits) -> Self:
        """Start the child and wait until it is ready; WorkbenchError when it is not in time."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node_agent.detection.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment | {PARENT_VARIABLE: str(os.getpid())},
            limit=_LINE_BYTES,
            start_new_session=True,
        )
        bench = cls(process, limits)
        allowed = {
            "memory_bytes": limits.memory_bytes + _OWN_MEMORY_BYTES,
            "cpu_seconds": limits.cpu_seconds,
        }
        try:
            if await bench._ask(allowed, START_SECONDS) != READY:
                raise WorkbenchError("the child that computes challenges did not start")
        except BaseException:
            await bench.stop()
            raise
        return bench

    async def run(self, run: Run) -> list[bytes]:
        """Return the answer of each lane; WorkbenchError when the child could not compute them."""
        found = await self._ask(asdict(run) | {"seed": run.seed.hex()}, self.limits.run_seconds)
        if not isinstance(found, list):
            raise WorkbenchError("the child that computes challenges answered nonsense")
        return [bytes.fromhex(answer) for answer in found]

    async def stop(self) -> None:
        """Kill the child; harmless when it has ended."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if self.process.stdin is not None and self.process.stdout is not None:
            self.process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await self.process.stdin.wait_closed()
            await self.process.stdout.read()

    async def _ask(self, document: object, seconds: float) -> object:
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("a workbench without pipes")
        try:
            async with asyncio.timeout(seconds):
                stdin.write(json.dumps(document).encode() + b"\n")
                await stdin.drain()
                line = await stdout.readline()
        except (TimeoutError, ConnectionError) as error:
            raise WorkbenchError("a run took longer than its limits, or was ended") from error
        if not line.endswith(b"\n"):
            raise WorkbenchError("the child that computes challenges ended before the run was done")
        found: object = json.loads(line)
        return found
