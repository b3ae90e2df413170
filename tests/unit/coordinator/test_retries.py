"""What is done again when the database is away, and what is not."""

import pytest

from coordinator.database_errors import DatabaseAway
from coordinator.retries import persistently


class Work:
    """Fails as told, then answers how often it was asked."""

    def __init__(self, *failures: bool) -> None:
        self.failures, self.asked = list(failures), 0

    async def __call__(self) -> int:
        self.asked += 1
        if self.failures:
            raise DatabaseAway(rolled_back=self.failures.pop(0))
        return self.asked


async def test_what_was_rolled_back_is_done_again() -> None:
    assert await persistently(Work(True, True), harmless=False) == 3


async def test_what_may_have_been_done_is_not_doubled() -> None:
    work = Work(False)
    with pytest.raises(DatabaseAway, match="look whether it was done"):
        await persistently(work, harmless=False)
    assert work.asked == 1


async def test_what_does_no_harm_twice_is_done_again() -> None:
    assert await persistently(Work(False, True), harmless=True) == 3


async def test_it_ends_with_a_sentence() -> None:
    work = Work(*[True] * 10)
    with pytest.raises(DatabaseAway, match="nothing was done; try again"):
        await persistently(work, harmless=True)
    assert work.asked == 4
