"""What a challenge filled is not kept."""

import subprocess
import sys

PROGRAM = """
import psutil
from concurrent.futures import ThreadPoolExecutor
from node_agent.detection.tasks import Run, lane_answer
from node_agent.memory import give_back_at_once

give_back_at_once()
process, run = psutil.Process(), Run(bytes(32), lanes=3, steps=1)
before = process.memory_info().rss
with ThreadPoolExecutor(run.lanes) as threads:
    lane_answer(Run(bytes(32), lanes=1, steps=1, memory_kib=64 * 1024, passes=1), 0)
    for _ in range(2):
        list(threads.map(lambda lane: lane_answer(run, lane), range(run.lanes)))
print(process.memory_info().rss - before)
"""


def test_memory_of_challenges_goes_back_to_the_system() -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(shown.stdout) < 8 * 2**20
