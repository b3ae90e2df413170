"""What every outbox must do: subclass `OutboxSuite`, say how to make one, and pytest runs all of it."""

import asyncio
from abc import ABC, abstractmethod

import pytest

from soterone.chain.calls import Call
from soterone.chain.outbox import Attempt, Inclusion, Outbox, OutboxRow, Refusal, RowState
from soterone.chain.records import BlockRef
from soterone.domain.ids import Account, hash32

SENDER = Account("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
OTHER = Account("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def row(key: str, gas_limit: int | None = None) -> OutboxRow:
    return OutboxRow(key, Call(OTHER, b"\x01\x02" + key.encode(), f"test {key}"), gas_limit)


def attempt(nonce: int, tip: int = 1) -> Attempt:
    return Attempt(
        hash32(bytes([nonce, tip]).ljust(32, b"h")), b"raw" + bytes([tip]), nonce, 90_000, 2**70, tip
    )


def inclusion(number: int) -> Inclusion:
    return Inclusion(hash32(b"t" * 32), BlockRef(number, hash32(bytes([number]) * 32)), 50_000)


class OutboxSuite(ABC):
    """`self.outbox` is fresh in each test."""

    @pytest.fixture(autouse=True)
    async def _fresh(self) -> None:
        self.outbox = await self.make()

    @abstractmethod
    async def make(self) -> Outbox:
        """Return an empty outbox."""

    @abstractmethod
    async def enqueue(self, row: OutboxRow) -> bool:
        """Add a due row; False when its key is known."""

    @abstractmethod
    async def state_of(self, key: str) -> RowState:
        """Where a row stands."""

    async def test_due_rows_come_oldest_first_and_unchanged(self) -> None:
        rows = [row("b"), row("a", gas_limit=70_000), row("c")]
        for one in rows:
            assert await self.enqueue(one)
        assert list(await self.outbox.due(10)) == rows
        assert list(await self.outbox.due(2)) == rows[:2]

    async def test_a_key_has_one_row(self) -> None:
        assert await self.enqueue(row("a"))
        assert not await self.enqueue(row("a", gas_limit=1))
        assert list(await self.outbox.due(10)) == [row("a")]

    async def test_a_saved_attempt_leaves_the_due_rows_and_survives_whole(self) -> None:
        await self.enqueue(row("a"))
        assert await self.outbox.save_attempt("a", SENDER, attempt(7), 0)
        assert await self.state_of("a") is RowState.SENT
        assert not await self.outbox.due(10)
        (held,) = await self.outbox.outstanding(SENDER)
        assert (held.row, held.attempts, held.included) == (row("a"), (attempt(7),), None)
        assert not await self.outbox.outstanding(OTHER)

    async def test_outstanding_rows_ascend_by_nonce(self) -> None:
        for key, nonce in (("a", 44), ("b", 20), ("c", 3)):
            await self.enqueue(row(key))
            assert await self.outbox.save_attempt(key, SENDER, attempt(nonce), 0)
        assert [one.nonce for one in await self.outbox.outstanding(SENDER)] == [3, 20, 44]

    async def test_only_the_first_of_two_senders_gets_a_row(self) -> None:
        await self.enqueue(row("a"))
        assert await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        assert not await self.outbox.save_attempt("a", SENDER, attempt(2), 0)
        assert not await self.outbox.save_attempt("a", OTHER, attempt(2), 0)
        (held,) = await self.outbox.outstanding(SENDER)
        assert held.attempts == (attempt(1),)

    async def test_a_nonce_belongs_to_one_row_of_the_account(self) -> None:
        await self.enqueue(row("a"))
        await self.enqueue(row("b"))
        assert await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        assert not await self.outbox.save_attempt("b", SENDER, attempt(1, 2), 0)
        assert await self.state_of("b") is RowState.DUE
        assert await self.outbox.save_attempt("b", OTHER, attempt(1, 2), 0)

    async def test_bumps_append_and_compare_the_attempts_known(self) -> None:
        await self.enqueue(row("a"))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        assert await self.outbox.save_attempt("a", SENDER, attempt(1, 2), 1)
        assert not await self.outbox.save_attempt("a", SENDER, attempt(1, 3), 1)
        assert not await self.outbox.save_attempt("a", OTHER, attempt(1, 3), 2)
        (held,) = await self.outbox.outstanding(SENDER)
        assert held.attempts == (attempt(1), attempt(1, 2))

    async def test_mined_rows_stay_outstanding_until_final(self) -> None:
        await self.enqueue(row("a"))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        await self.outbox.mark_mined("a", inclusion(5))
        assert await self.state_of("a") is RowState.MINED
        (held,) = await self.outbox.outstanding(SENDER)
        assert held.included == inclusion(5)
        assert not await self.outbox.save_attempt("a", SENDER, attempt(1, 2), 1)
        await self.outbox.mark_final("a")
        await self.outbox.mark_final("a")
        assert await self.state_of("a") is RowState.FINAL
        assert not await self.outbox.outstanding(SENDER)

    async def test_a_row_whose_block_went_keeps_its_attempts(self) -> None:
        await self.enqueue(row("a"))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        await self.outbox.mark_mined("a", inclusion(5))
        await self.outbox.mark_unmined("a")
        assert await self.state_of("a") is RowState.SENT
        (held,) = await self.outbox.outstanding(SENDER)
        assert (held.attempts, held.included) == ((attempt(1),), None)
        await self.outbox.mark_mined("a", inclusion(6))
        (held,) = await self.outbox.outstanding(SENDER)
        assert held.included == inclusion(6)

    async def test_reverted_rows_are_neither_due_nor_outstanding(self) -> None:
        for key in ("a", "b"):
            await self.enqueue(row(key))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        await self.outbox.mark_reverted("a", Refusal("Bad", "It is bad."), inclusion(5))
        await self.outbox.mark_reverted("b", Refusal("", "Refused."), None)
        for key in ("a", "b"):
            assert await self.state_of(key) is RowState.REVERTED
        assert not await self.outbox.outstanding(SENDER)
        assert not await self.outbox.due(10)
        assert not await self.enqueue(row("a"))

    async def test_a_reopened_row_is_due_for_anybody_with_a_fresh_nonce(self) -> None:
        await self.enqueue(row("a"))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        await self.outbox.reopen("a")
        await self.outbox.reopen("a")
        assert list(await self.outbox.due(10)) == [row("a")]
        assert not await self.outbox.outstanding(SENDER)
        assert await self.outbox.save_attempt("a", OTHER, attempt(9), 0)

    async def test_mined_rows_do_not_reopen(self) -> None:
        await self.enqueue(row("a"))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        await self.outbox.mark_mined("a", inclusion(5))
        await self.outbox.reopen("a")
        assert await self.state_of("a") is RowState.MINED

    async def test_a_lease_has_one_holder_until_it_expires_or_is_released(self) -> None:
        assert await self.outbox.lease(SENDER, "first", 30)
        assert not await self.outbox.lease(SENDER, "second", 30)
        assert await self.outbox.lease(OTHER, "second", 30)
        assert await self.outbox.lease(SENDER, "first", 30)
        await self.outbox.release(SENDER, "second")
        assert not await self.outbox.lease(SENDER, "second", 30)
        await self.outbox.release(SENDER, "first")
        assert await self.outbox.lease(SENDER, "second", 0)
        assert await self.outbox.lease(SENDER, "third", 30)
        assert not await self.outbox.lease(SENDER, "second", 30)

    async def test_of_many_who_ask_at_once_one_gets_the_lease(self) -> None:
        holders = [f"holder {number}" for number in range(6)]
        answers = await asyncio.gather(*(self.outbox.lease(SENDER, one, 30) for one in holders))
        assert sorted(answers) == [False] * 5 + [True]
