"""An engine's child process: it takes one job on stdin, reports in JSON lines, and dies with its parent.

Reports go to the stdout that the parent gave; whatever libraries print goes to stderr instead.
"""

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import TextIO

from node_agent.engines.base import JOB, EngineError, Job, JobResult, Phase, Progress
from node_agent.engines.reports import Failed, Report
from soterone.domain.failures import FailureReason

PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "SOTER_ENGINE_PARENT"


class Reporter:
    """Writes progress as JSON lines, with the seconds since the job has been read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def begin(self) -> None:
        """Start the clock and report that the job was read."""
        self._started = time.monotonic()
        self.progress("start")

    def progress(self, phase: Phase, done: int = 1, total: int = 1, checkpoint: str | None = None) -> None:
        """Report that `done` of `total` steps of a phase are behind us, and the checkpoint that this left."""
        seconds = round(time.monotonic() - self._started, 4)
        self.write(Report(progress=Progress(phase, done, total, seconds, checkpoint)))

    def write(self, report: Report) -> None:
        """Write one line and flush it."""
        self._stream.write(report.to_line())
        self._stream.flush()


Work = Callable[[Job, Reporter], JobResult]


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (prctl(2)); leave at once if that happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT_VARIABLE]):
        os._exit(1)


def main(prepare_imports: Callable[[], None], work: Work) -> int:
    """Run one job; the exit status is 0 with a result and 1 with a failure. Imports happen before the job comes."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    prepare_imports()
    reporter = Reporter(reports)
    try:
        job = JOB.validate_json(sys.stdin.buffer.readline())
        reporter.begin()
        result = work(job, reporter)
    except EngineError as error:
        print(error.detail, file=sys.stderr)
        reporter.write(Report(failed=Failed.of(error)))
        return 1
    except Exception as error:
        print(trace_without_values(error), file=sys.stderr)
        sentence = "The computation failed inside the engine: the operator's log of this query says where."
        reporter.write(Report(failed=Failed(FailureReason.ENGINE_ERROR, sentence)))
        return 1
    reporter.write(Report(result=result))
    return 0


def trace_without_values(error: BaseException) -> str:
    """Return where an error came from and its type; its message is left out, as it may quote data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "".join(f"  {frame.filename}:{frame.lineno} {frame.name}\n" for frame in frames)
    return f"{where}{type(error).__name__}"
