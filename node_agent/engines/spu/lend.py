"""A survivor's job, and its child process: split the own half of a checkpoint for a new trio. It loads no SPU."""

import sys
from pathlib import Path

from node_agent.engines.base import EngineError, Job, JobResult, LendJob, LendResult
from node_agent.engines.child import Reporter, main
from node_agent.engines.scratch import require_memory
from node_agent.engines.spu.lending import lent_number, split
from soterone.domain.failures import FailureReason
from soterone.domain.share_file import Pairs, ShareFile, ShareFileError


def lend(job: LendJob) -> LendResult:
    """Run the job; EngineError with `mismatch` when the checkpoint is not one of this rank."""
    require_memory(Path(job.directory))
    checkpoint = _read(job)
    lent: list[dict[str, Pairs]] = [{}, {}, {}]
    for name, pairs in checkpoint.arrays.items():
        for of_rank, part in zip(lent, split(lent_number(pairs, job.rank, job.other_rank)), strict=True):
            of_rank[name] = part
    files = [_write(job, checkpoint, rank, arrays) for rank, arrays in enumerate(lent)]
    return LendResult((files[0], files[1], files[2]))


def _read(job: LendJob) -> ShareFile:
    try:
        file = ShareFile.from_bytes(Path(job.checkpoint_file).read_bytes())
    except (OSError, ShareFileError) as error:
        raise _unfit("it cannot be read") from error
    if (file.header.kind, file.header.rank) != ("checkpoint", job.rank):
        raise _unfit("it is of another rank, or no checkpoint")
    return file


def _write(job: LendJob, checkpoint: ShareFile, rank: int, arrays: dict[str, Pairs]) -> str:
    header = checkpoint.header.model_copy(update={"kind": "part", "rank": rank, "lender": job.rank})
    path = Path(job.directory) / f"part-{rank}.bin"
    path.write_bytes(ShareFile(header, arrays).to_bytes())
    return str(path)


def _unfit(why: str) -> EngineError:
    sentence = f"This node's checkpoint cannot be lent: {why}."
    return EngineError(FailureReason.ENGINE_ERROR, sentence, mismatch=True)


def _work(job: Job, reporter: Reporter) -> JobResult:
    if not isinstance(job, LendJob):
        raise TypeError("this child only lends")
    return lend(job)


if __name__ == "__main__":
    sys.exit(main(lambda: None, _work))
