"""The agent's side of the SPU engine: it starts children and never loads SPU itself."""

from node_agent.engines.base import (
    LendJob,
    LendResult,
    Limits,
    OnProgress,
    PrepareJob,
    PrepareResult,
    TrainJob,
    TrainResult,
)
from node_agent.engines.process import EngineProcess

MODULE = "node_agent.engines.spu"
LENDING_MODULE = "node_agent.engines.spu.lend"


class SpuEngine:
    """Vertical logistic regression under ABY3; see `base.Engine` for what the calls promise.

    A child takes about a second to load its libraries: `warm` starts one ahead of its job. A warm child that is
    not needed must be stopped.
    """

    name = "spu"

    async def warm(self, limits: Limits) -> EngineProcess:
        """Start a child that loads its libraries and waits for its job."""
        return await EngineProcess.start(MODULE, limits)

    async def prepare(
        self,
        job: PrepareJob,
        limits: Limits,
        on_progress: OnProgress | None = None,
        process: EngineProcess | None = None,
    ) -> PrepareResult:
        """Do a data owner's work in a child, or in the warm one given."""
        child = process or await self.warm(limits)
        result = await child.run(job, on_progress)
        if not isinstance(result, PrepareResult):
            raise TypeError("the engine answered another job")
        return result

    async def train(
        self,
        job: TrainJob,
        limits: Limits,
        on_progress: OnProgress | None = None,
        process: EngineProcess | None = None,
    ) -> TrainResult:
        """Do an MPC node's work in a child, or in the warm one given."""
        child = process or await self.warm(limits)
        result = await child.run(job, on_progress)
        if not isinstance(result, TrainResult):
            raise TypeError("the engine answered another job")
        return result

    async def lend(self, job: LendJob, limits: Limits) -> LendResult:
        """Split a checkpoint for a new trio, in a child that starts fast as it loads no SPU."""
        child = await EngineProcess.start(LENDING_MODULE, limits)
        result = await child.run(job)
        if not isinstance(result, LendResult):
            raise TypeError("the engine answered another job")
        return result
