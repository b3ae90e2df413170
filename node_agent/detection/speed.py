"""How fast one core of this machine does the detectors' yardstick task: what a profile declares of it."""

import time

from node_agent.detection.plan import STEPS
from node_agent.detection.tasks import SEED_BYTES, Run, lane_answer

_TRIES = 5


def core_speed() -> int:
    """Return thousandths of the yardstick task a second of processor time, so that other work at that moment
    takes nothing off; of the median try, so that a lucky one binds nobody."""
    run = Run(bytes(SEED_BYTES), lanes=1, steps=STEPS)
    seconds = sorted(_seconds(run) for _ in range(_TRIES))
    return max(1, round(1000 * STEPS / seconds[_TRIES // 2]))


def _seconds(run: Run) -> float:
    started = time.process_time()
    lane_answer(run, 0)
    return time.process_time() - started
