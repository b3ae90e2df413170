"""Running an engine as a child process: started warm, fed one job, watched, and killed when it must not go on."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

from node_agent.engines.base import (
    JOB,
    SCRATCH,
    EngineError,
    Job,
    JobResult,
    Limits,
    OnProgress,
)
from node_agent.engines.child import PARENT_VARIABLE
from node_agent.engines.reports import Failed, Report
from soterone.domain.failures import FailureReason

INTERPRETER_VARIABLE = "SOTER_ENGINE_PYTHON"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
REPORT_BYTES_LIMIT = 1 << 20
STDERR_BYTES_KEPT = 16_384
WATCH_SECONDS = 0.5


@dataclass(slots=True)
class EngineProcess:
    """One child, importing its libraries already; `run` gives it its job, once."""

    process: asyncio.subprocess.Process
    limits: Limits
    _stderr: bytearray = field(default_factory=bytearray)
    _over_memory: bool = False

    @classmethod
    async def start(cls, module: str, limits: Limits) -> Self:
        """Start `python -m module` in a session of its own, with a bare environment.

        The kernel ties the child to the thread that calls this: call it from the main thread's event loop.
        """
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(os.environ.get(INTERPRETER_VARIABLE) or sys.executable, "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | {PARENT_VARIABLE: str(os.getpid())},
            limit=REPORT_BYTES_LIMIT,
            start_new_session=True,
        )
        with contextlib.suppress(psutil.Error):
            psutil.Process(process.pid).nice(limits.nice)
        return cls(process, limits)

    async def run(self, job: Job, on_progress: OnProgress | None = None) -> JobResult:
        """Run the job to its end; EngineError otherwise.

        However this ends, by cancellation too, the child and the job's scratch directory are gone afterwards.
        """
        watch = asyncio.create_task(self._watch_memory())
        stderr = asyncio.create_task(self._keep_stderr())
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._talk(job, on_progress)
        except TimeoutError as error:
            sentence = f"The computation took longer than its limit of {self.limits.seconds:g} seconds."
            raise _broken(sentence) from error
        except EngineError as error:
            await self.stop()
            await stderr
            raise Failed.of(error).error(self._stderr.decode(errors="replace")) from error
        finally:
            await self.stop()
            watch.cancel()
            await asyncio.gather(watch, stderr, return_exceptions=True)
            await asyncio.to_thread(shutil.rmtree, Path(job.directory) / SCRATCH, ignore_errors=True)

    async def stop(self) -> None:
        """Kill the child and its session; harmless when it has ended."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def _talk(self, job: Job, on_progress: OnProgress | None) -> JobResult:
        """Hand the job over and listen until it ends; EngineError when the child never links."""
        try:
            async with asyncio.timeout(self.limits.link_seconds) as until_linked:
                await self._hand_over(job)
                async for report in self._reports():
                    if report.result is not None:
                        return report.result
                    if report.failed is not None:
                        raise report.failed.error("")
                    if report.progress is not None:
                        if report.progress.phase == "link":
                            until_linked.reschedule(None)
                        if on_progress is not None:
                            on_progress(report.progress)
        except TimeoutError as error:
            sentence = f"The engine did not link within its limit of {self.limits.link_seconds:g} seconds."
            raise _broken(sentence) from error
        raise _broken(await self._how_it_ended())

    async def _hand_over(self, job: Job) -> None:
        stdin = self.process.stdin
        if stdin is None:
            raise RuntimeError("an engine process without pipes")
        with contextlib.suppress(ConnectionError):
            stdin.write(JOB.dump_json(job) + b"\n")
            await stdin.drain()

    async def _reports(self) -> AsyncIterator[Report]:
        """Yield the child's reports until it ends, a last line cut short left out; EngineError when one is none."""
        stdout = self.process.stdout
        if stdout is None:
            raise RuntimeError("an engine process without pipes")
        while (line := await _line(stdout)).endswith(b"\n"):
            yield Report.from_line(line)

    async def _how_it_ended(self) -> str:
        code = await self.process.wait()
        if self._over_memory:
            gibibytes = self.limits.memory_bytes / 2**30
            return f"The computation needed more memory than its limit of {gibibytes:.2g} GiB."
        if code == -signal.SIGABRT:
            return "The engine gave up (signal 6): a computing party was probably lost."
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
        return f"The engine {how} before its work was done: the operator's log of this query may say why."

    async def _keep_stderr(self) -> None:
        while self.process.stderr is not None and (chunk := await self.process.stderr.read(4096)):
            self._stderr += chunk
            del self._stderr[:-STDERR_BYTES_KEPT]

    async def _watch_memory(self) -> None:
        with contextlib.suppress(psutil.Error):
            child = psutil.Process(self.process.pid)
            while child.memory_info().rss <= self.limits.memory_bytes:  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(WATCH_SECONDS)
            self._over_memory = True
            await self.stop()


async def _line(stdout: asyncio.StreamReader) -> bytes:
    try:
        return await stdout.readline()
    except ValueError as error:
        raise _broken(
            "The engine's report has no end: the operator must check the engine's version."
        ) from error


def _broken(sentence: str) -> EngineError:
    return EngineError(FailureReason.ENGINE_ERROR, sentence)
