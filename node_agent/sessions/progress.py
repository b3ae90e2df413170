"""What a node tells the coordinator of a running query: best effort, rate limited, never in the computation's way."""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

import grpc.aio

from node_agent.cancellation import answer_of
from node_agent.engines.base import Progress
from node_agent.sessions.states import Fence
from soterone.domain.ids import QueryId, hash_bytes
from soterone.rpc.generated.coordinator_pb2 import ProgressReport

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub

CALL_SECONDS = 3.0
MINIMUM_INTERVAL_SECONDS = 0.3
KEPT_REPORTS = 32

_PHASES = {
    "link": ("linked", "engines linked"),
    "wait": ("share", "all shares are here"),
    "align": ("align", "rows aligned"),
    "share": ("share", "columns shared"),
    "compile": ("train", "program compiled"),
    "evaluate": ("train", "model evaluated"),
}


def described(progress: Progress) -> tuple[str, float, str] | None:
    """Return the phase, fraction and detail that the customer sees of an engine's step; None for inner steps."""
    fraction = progress.done / progress.total if progress.total else 1.0
    if progress.phase == "train":
        return "train", fraction, f"epoch {progress.done} of {progress.total}"
    if progress.phase not in _PHASES:
        return None
    phase, detail = _PHASES[progress.phase]
    if progress.phase == "compile":
        fraction = 0.0
    return phase, fraction, detail


class ProgressReporter:
    """Queues reports and sends them in order; of two waiting ones of a phase the newer goes."""

    def __init__(self, coordinator: "AgentsAsyncStub", query: QueryId) -> None:
        self._coordinator = coordinator
        self._query = hash_bytes(query)
        self._waiting: deque[ProgressReport] = deque(maxlen=KEPT_REPORTS)
        self._filled = asyncio.Event()

    def tell(self, fence: Fence, phase: str, fraction: float, detail: str = "") -> None:
        """Queue a report and return at once."""
        if self._waiting and self._waiting[-1].phase == phase:
            self._waiting.pop()
        self._waiting.append(
            ProgressReport(
                query_id=self._query,
                generation=fence.generation,
                attempt=fence.attempt,
                phase=phase,
                fraction=fraction,
                detail=detail,
            )
        )
        self._filled.set()

    async def run(self) -> None:
        """Send what is queued until cancelled; a report that fails is dropped."""
        while True:
            await self._filled.wait()
            while self._waiting:
                report = self._waiting.popleft()
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await answer_of(self._coordinator.ReportProgress(report, timeout=CALL_SECONDS))
                if self._waiting and self._waiting[0].phase == report.phase:
                    await asyncio.sleep(MINIMUM_INTERVAL_SECONDS)
            self._filled.clear()
            await asyncio.sleep(MINIMUM_INTERVAL_SECONDS)
