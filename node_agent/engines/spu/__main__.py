"""The SPU engine's child process."""

import os
import sys

from node_agent.engines.base import Job, JobResult, PrepareJob, TrainJob
from node_agent.engines.child import Reporter, main


def _load() -> None:
    import node_agent.engines.spu.prepare
    import node_agent.engines.spu.train  # noqa: F401


def _work(job: Job, reporter: Reporter) -> JobResult:
    from node_agent.engines.spu.prepare import prepare
    from node_agent.engines.spu.train import train

    match job:
        case PrepareJob():
            return prepare(job, reporter)
        case TrainJob():
            return train(job, reporter)
        case _:
            raise TypeError("lending has a child of its own")


if __name__ == "__main__":
    status = main(_load, _work)
    sys.stderr.flush()
    os._exit(status)  # tearing SPU's links down in order would wait for peers that are gone
