"""The child process that works a challenge off: runs come as JSON lines on stdin, answers go as JSON lines to stdout.

It loads nothing but the tasks, has limits of its own, and dies with its agent.
"""

import json
import resource
import sys

from node_agent.detection.tasks import Run, answers
from node_agent.engines.child import die_with_parent
from node_agent.memory import give_back_at_once

READY = "ready"


def main() -> None:
    """Work runs off until stdin ends. The first line of stdin says the limits."""
    die_with_parent()
    give_back_at_once()  # or the run that fills memory is left too little of the limit
    limits = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_seconds"], limits["cpu_seconds"]))
    resource.setrlimit(resource.RLIMIT_DATA, (limits["memory_bytes"], limits["memory_bytes"]))
    _say(READY)
    for line in sys.stdin:
        asked = json.loads(line)
        run = Run(
            bytes.fromhex(asked["seed"]), asked["lanes"], asked["steps"], asked["memory_kib"], asked["passes"]
        )
        _say([answer.hex() for answer in answers(run)])


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
