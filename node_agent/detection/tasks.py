"""The work that a challenge asks for: chains of Argon2id (RFC 9106), memory-hard and unknown before the seed.

A run has lanes, each a chain of tasks that nobody can shorten; lanes are worked side by side. Pure computation.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SEED_BYTES = 32
ANSWER_BYTES = 32
TASK_MEMORY_KIB = 16 * 1024
TASK_PASSES = 4
"""The yardstick task: one Argon2id with one lane over 16 MiB, four times. Speeds are told in it."""

_SALT = b"SoterOne detection"


@dataclass(frozen=True, slots=True)
class Run:
    """`lanes` chains of `steps` tasks each. `seed` has 32 bytes and is told only when the run begins."""

    seed: bytes
    lanes: int
    steps: int
    memory_kib: int = TASK_MEMORY_KIB
    passes: int = TASK_PASSES

    @property
    def kib_passes(self) -> int:
        """The memory that the run writes, in KiB: what it costs."""
        return self.lanes * self.steps * self.memory_kib * self.passes


def lane_answer(run: Run, lane: int) -> bytes:
    """Return the 32-byte end of one lane's chain. Lets go of the interpreter's lock while it computes."""
    value = hashlib.sha256(run.seed + lane.to_bytes(4)).digest()
    for _ in range(run.steps):
        value = Argon2id(
            salt=_SALT, length=ANSWER_BYTES, iterations=run.passes, lanes=1, memory_cost=run.memory_kib
        ).derive(value)
    return value


def answers(run: Run) -> list[bytes]:
    """Return the answer of each lane, all worked side by side, a thread each."""
    with ThreadPoolExecutor(max_workers=run.lanes) as threads:
        return list(threads.map(lambda lane: lane_answer(run, lane), range(run.lanes)))
