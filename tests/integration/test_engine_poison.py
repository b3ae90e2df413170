"""Engines that misbehave: whatever a child does, its parent gets an EngineError with a sentence, and no child stays."""

from pathlib import Path

import psutil
import pytest

from node_agent.engines.base import EngineError, LendJob, Limits
from node_agent.engines.process import EngineProcess
from soterone.domain.failures import FailureReason

POISON = {
    "dies by a signal": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11"),
    "aborts as brpc does": ("import os; os.abort()", "computing party was probably lost"),
    "ends without a word": ("", "ended with exit status 0"),
    "ends badly": ("raise SystemExit(3)", "ended with exit status 3"),
    "prints garbage and stays": (
        "import time; print('loading model...', flush=True); time.sleep(600)",
        "report made no sense",
    ),
    "reports two things at once": (
        "import time\n"
        """print('{"failed": {"reason": 4, "sentence": "s"}, "progress":'"""
        """ '{"phase": "link", "done": 1, "total": 1, "seconds": 1}}', flush=True)\n"""
        "time.sleep(600)",
        "report made no sense",
    ),
    "prints without an end": (
        "import sys, time; sys.stdout.write('x' * (2 << 20)); sys.stdout.flush(); time.sleep(600)",
        "report has no end",
    ),
    "dies in the middle of a line": (
        "import os, signal\nprint('{\"progr', end='', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)",
        "ended by signal 9",
    ),
    "eats its memory": (
        "import time\nhoard = bytearray(300 << 20)\ntime.sleep(600)",
        "more memory than its limit",
    ),
}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LendJob:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return LendJob(str(tmp_path), str(tmp_path / "checkpoint"), 0, 1)


def written(job: LendJob, program: str) -> str:
    (Path(job.directory) / "poison.py").write_text(program)
    return "poison"


async def ended(job: LendJob, program: str, limits: Limits) -> EngineError:
    child = await EngineProcess.start(written(job, program), limits)
    with pytest.raises(EngineError) as error:
        await child.run(job)
    assert not psutil.pid_exists(child.process.pid)
    assert error.value.reason is FailureReason.ENGINE_ERROR
    return error.value


@pytest.mark.parametrize(("program", "sentence"), POISON.values(), ids=POISON.keys())
async def test_a_poisoned_engine_ends_with_a_sentence(job: LendJob, program: str, sentence: str) -> None:
    error = await ended(job, program, Limits(memory_bytes=200 << 20, seconds=60))
    assert sentence in error.sentence


async def test_an_engine_that_hangs_before_the_link_is_ended(job: LendJob) -> None:
    error = await ended(job, "import time\ntime.sleep(600)", Limits(seconds=60, link_seconds=0.5))
    assert "did not link within its limit of 0.5 seconds" in error.sentence
