"""Sends the outbox's transactions from one account: owns its nonces, saves signed bytes before it sends them, pays more
when a transaction is stuck, and sends again what a reorganisation dropped."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, RevertedError, RpcError
from soterone.chain.outbox import Attempt, Inclusion, Outbox, OutboxRow, Outstanding, Refusal
from soterone.chain.records import Block, Receipt
from soterone.chain.sender_lease import SenderLease
from soterone.chain.transactions import Fees, sign_call, sign_nothing
from soterone.crypto.accounts import Signer

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_SECONDS = 0.02
_LAST_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SendingPolicy:
    """How patient a sender is and how much it pays.

    Mined transactions are watched for `watch_blocks`. An RPC whose head lies before a block that mined one of ours is
    taken for one that lags, for `lag_seconds`.
    """

    in_flight: int = 32
    poll_seconds: float = 0.5
    resend_seconds: float = 2.0
    stuck_seconds: float = 15.0
    lost_nonce_seconds: float = 2.0
    refusal_tries: int = 3
    refusal_pause_seconds: float = 0.2
    watch_blocks: int = 12
    max_fee_wei: int = 500 * 10**9
    lag_seconds: float = 5.0
    lease_seconds: float = 5.0


@dataclass(slots=True)
class _Refused:
    """A row that the contract would refuse now, and the rows before it that may change that."""

    tries: int
    next_at: float
    waits_for: frozenset[str]


@dataclass(slots=True)
class _Memory:
    """What a pass remembers for the next; all of it may be lost with the process."""

    sent_at: dict[str, float] = field(default_factory=dict)
    signed_at: dict[str, float] = field(default_factory=dict)
    lost_since: dict[str, float] = field(default_factory=dict)
    refused: dict[str, _Refused] = field(default_factory=dict)
    gap_since: float | None = None
    behind_since: float | None = None
    verified_head: str | None = None

    def forget(self, key: str) -> None:
        for kept in (self.sent_at, self.signed_at, self.lost_since, self.refused):
            kept.pop(key, None)


class Sender:
    """One sender an account works, the others stand by (`SenderLease`). Should two work all the same, each on an outbox
    of its own, every row still is executed at most once by the rules of nonces, and none is lost."""

    def __init__(
        self, client: ChainClient, signer: Signer, outbox: Outbox, policy: SendingPolicy | None = None
    ) -> None:
        self._client, self._signer, self._outbox = client, signer, outbox
        self._policy = policy or SendingPolicy()
        self._memory = _Memory()
        self._lease = SenderLease(outbox, signer.account, self._policy.lease_seconds)
        self._woken = asyncio.Event()
        self.in_flight = 0
        self.problem: str | None = None
        self._problem_since = 0.0

    @property
    def problem_age_seconds(self) -> float | None:
        """How long it has had one; None while it has none."""
        return None if self.problem is None else time.monotonic() - self._problem_since

    def wake(self) -> None:
        """Look at the outbox at once: call it after the commit of a new row."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; errors are logged and retried for ever."""
        stopper = asyncio.create_task(stop.wait())
        stopper.add_done_callback(lambda _: self._woken.set())
        pause_seconds = _FIRST_PAUSE_SECONDS
        try:
            while not stop.is_set():
                self._woken.clear()
                pause_seconds = await self._guarded_step(pause_seconds)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_seconds):
                        await self._woken.wait()
        finally:
            stopper.cancel()
            with suppress(Exception):
                await self._lease.release()

    async def step(self) -> bool:
        """Do one pass: look after what was sent, then send what is due. Return whether anything was sent."""
        held = await self._outbox.outstanding(self._signer.account)
        if not held and not await self._outbox.due(1):
            self.in_flight, self.problem = 0, None
            return False
        if not await self._lease.held():
            self.problem = None
            return False
        mined_count = await self._client.transaction_count(self._signer.account)
        head = await self._client.head()
        if self._is_behind(held, head):
            return False
        if await self._verify_mined(held, head):
            held = await self._outbox.outstanding(self._signer.account)
        if await self._look_after(held, mined_count, head):
            held = await self._outbox.outstanding(self._signer.account)
        sent = await self._send_due(held, mined_count, head)
        await self._fill_gap(held, mined_count, head)
        return sent

    async def _guarded_step(self, pause_seconds: float) -> float:
        """Return how long to pause."""
        try:
            sent = await self.step()
        except ChainError as problem:
            self._note(str(problem))
            return min(max(pause_seconds, 0.1) * 2, _LAST_RETRY_SECONDS)
        except Exception:
            _log.exception("sender_failed")
            return min(max(pause_seconds, 0.1) * 2, _LAST_RETRY_SECONDS)
        if sent:
            return _FIRST_PAUSE_SECONDS
        return min(pause_seconds * 2, self._policy.poll_seconds)

    def _is_behind(self, held: Sequence[Outstanding], head: Block) -> bool:
        """Whether the RPC has not heard yet of a block that it, or another node behind its address, told us of."""
        newest = max((one.included.block.number for one in held if one.included), default=0)
        if head.number >= newest:
            self._memory.behind_since = None
            return False
        now = time.monotonic()
        if self._memory.behind_since is None:
            self._memory.behind_since = now
            _log.info("rpc_behind", head=head.number, known=newest)
        return now - self._memory.behind_since < self._policy.lag_seconds

    # What was sent

    async def _verify_mined(self, held: Sequence[Outstanding], head: Block) -> bool:
        """Take rows out of blocks that a reorganisation removed, let go of those that are deep enough; whether any."""
        if self._memory.verified_head == head.hash:
            return False
        mined = [(one.row.key, one.included.block) for one in held if one.included]
        heights = sorted({block.number for _, block in mined})
        found = dict(zip(heights, await self._client.blocks(heights), strict=True))
        changed = False
        for key, block in mined:
            now = found[block.number]
            if now is None or now.hash != block.hash:
                _log.warning("transaction_reorganised_away", key=key)
                await self._outbox.mark_unmined(key)
                self._memory.refused.clear()
                changed = True
            elif head.number >= block.number + self._policy.watch_blocks:
                await self._outbox.mark_final(key)
                changed = True
        self._memory.verified_head = head.hash
        return changed

    async def _look_after(self, held: Sequence[Outstanding], mined_count: int, head: Block) -> bool:
        """Settle what has a receipt and urge the rest on; whether any row left its state."""
        changed = False
        pending = [one for one in held if one.included is None]
        hashes = [attempt.transaction_hash for one in pending for attempt in one.attempts]
        receipts = {one.transaction_hash: one for one in await self._client.receipts(hashes) if one}
        for one in pending:
            found = [
                receipts[tried.transaction_hash]
                for tried in one.attempts
                if tried.transaction_hash in receipts
            ]
            if found:
                await self._settle(one, found[0])
                changed = True
            elif one.nonce < mined_count:
                changed |= await self._judge_lost(one)
            else:
                await self._urge(one, head)
        return changed

    async def _settle(self, one: Outstanding, receipt: Receipt) -> None:
        key = one.row.key
        inclusion = Inclusion(receipt.transaction_hash, receipt.block, receipt.gas_used)
        if receipt.succeeded:
            await self._outbox.mark_mined(key, inclusion)
            _log.info("transaction_mined", key=key, block=receipt.block.number, gas_used=receipt.gas_used)
        else:
            refusal = await self._refusal(one.row, receipt.block.number)
            await self._outbox.mark_reverted(key, refusal, inclusion)
            _log.warning("transaction_reverted", key=key, reason=refusal.sentence)
        self._memory.forget(key)

    async def _refusal(self, row: OutboxRow, block_number: int) -> Refusal:
        """Ask why a mined transaction failed, by running it again on the state before its block."""
        try:
            await self._client.simulate(row.call, self._signer.account, block_number=block_number - 1)
        except RevertedError as problem:
            return Refusal(problem.name, problem.sentence)
        except RpcError as problem:
            return Refusal("", f"The transaction failed in its block: {problem.message}.")
        return Refusal("", "The transaction failed in its block: out of gas, or another one came before it.")

    async def _judge_lost(self, one: Outstanding) -> bool:
        """The nonce is used up and not by us: another sender's transaction took it. Nodes behind one address may lag,
        so believe it, and open the row again, only when it lasts."""
        key, now = one.row.key, time.monotonic()
        if now - self._memory.lost_since.setdefault(key, now) < self._policy.lost_nonce_seconds:
            return False
        _log.warning("nonce_taken_by_another_transaction", key=key, nonce=one.nonce)
        await self._outbox.reopen(key)
        self._memory.forget(key)
        return True

    async def _urge(self, one: Outstanding, head: Block) -> None:
        """Send again what is not mined, with higher fees once it is stuck."""
        key, now, last = one.row.key, time.monotonic(), one.attempts[-1]
        self._memory.lost_since.pop(key, None)
        if now - self._memory.sent_at.get(key, 0.0) < self._policy.resend_seconds:
            return
        if now - self._memory.signed_at.setdefault(key, now) >= self._policy.stuck_seconds:
            bumped = await self._bump(one, head)
            if bumped is None:
                return
            last = bumped
        await self._broadcast(key, last)

    async def _bump(self, one: Outstanding, head: Block) -> Attempt | None:
        """Return the attempt to send: a dearer one, or the last when the limit is reached; None when another sender
        of this account was faster."""
        key, last = one.row.key, one.attempts[-1]
        offered = Fees(last.max_fee_wei, last.priority_fee_wei)
        fees = offered.bumped(await self._fees(head), self._policy.max_fee_wei)
        self._memory.signed_at[key] = time.monotonic()
        if fees and not self._affords(
            fees, last.gas_limit, await self._client.balance_wei(self._signer.account)
        ):
            return last
        if fees is None:
            self._note(f"{one.row.call.description}: the fee limit is reached and the transaction not mined")
            return last
        attempt = self._sign(one.row, one.nonce, last.gas_limit, fees)
        saved = await self._outbox.save_attempt(key, self._signer.account, attempt, len(one.attempts))
        _log.info("transaction_bumped", key=key, nonce=one.nonce, max_fee_wei=fees.max_fee_wei)
        return attempt if saved else None

    # What is due

    async def _send_due(self, held: Sequence[Outstanding], mined_count: int, head: Block) -> bool:
        taken = {one.nonce for one in held}
        pending = frozenset(one.row.key for one in held if one.included is None)
        self.in_flight = len(pending)
        due = await self._outbox.due(self._policy.in_flight)
        if not pending and not due:
            self.problem = None
        room = self._policy.in_flight - len(pending)
        rows = [one for one in due if self._may_try(one.key, pending)]
        if room <= 0 or not rows:
            return False
        fees, spare_wei = await self._fees(head), await self._spare_wei(held)
        nonce, sent = mined_count, False
        for row in rows[:room]:
            gas_limit = row.gas_limit or await self._tried_gas_limit(row, pending)
            if gas_limit is None:
                continue
            if not self._affords(fees, gas_limit, spare_wei):
                return sent
            while nonce in taken:
                nonce += 1
            attempt = self._sign(row, nonce, gas_limit, fees)
            if not await self._outbox.save_attempt(row.key, self._signer.account, attempt, 0):
                return sent
            taken.add(nonce)
            pending, sent = pending | {row.key}, True
            spare_wei -= attempt.most_wei
            self._memory.signed_at[row.key] = time.monotonic()
            await self._broadcast(row.key, attempt)
        self.in_flight = len(pending)
        return sent

    async def _spare_wei(self, held: Sequence[Outstanding]) -> int:
        """What the account has beyond what is under way."""
        promised_wei = sum(one.attempts[-1].most_wei for one in held if one.included is None)
        return await self._client.balance_wei(self._signer.account) - promised_wei

    def _affords(self, fees: Fees, gas_limit: int, spare_wei: int) -> bool:
        most_wei = gas_limit * fees.max_fee_wei
        if most_wei <= spare_wei:
            return True
        account, chain_id = self._signer.account, self._client.contracts.chain_id
        self._note(
            f"The account {account} is out of coins: a transaction may cost {most_wei / 10**18:.6f} and "
            f"{max(0, spare_wei) / 10**18:.6f} are left. Send it coins on chain {chain_id}; sending then goes on."
        )
        return False

    def _may_try(self, key: str, pending: frozenset[str]) -> bool:
        refused = self._memory.refused.get(key)
        return refused is None or (time.monotonic() >= refused.next_at and not refused.waits_for & pending)

    async def _tried_gas_limit(self, row: OutboxRow, pending: frozenset[str]) -> int | None:
        """None when the contract would refuse the row now. It counts as refused for good after some tries without any
        earlier transaction of ours under way, since nodes behind one address may lag."""
        try:
            gas_limit = await self._gas_limit(row)
        except RevertedError as problem:
            await self._refuse(row, problem, pending)
            return None
        except RpcError as problem:
            self._note(f"{row.call.description}: {problem}")
            return None
        self._memory.refused.pop(row.key, None)
        return gas_limit

    async def _refuse(self, row: OutboxRow, problem: RevertedError, pending: frozenset[str]) -> None:
        before = self._memory.refused.get(row.key)
        tries = 0 if pending and before is None else (before.tries if before else 0) + 1
        if tries >= self._policy.refusal_tries:
            await self._outbox.mark_reverted(row.key, Refusal(problem.name, problem.sentence), None)
            _log.warning("transaction_refused", key=row.key, reason=problem.sentence)
            self._memory.forget(row.key)
            return
        next_at = time.monotonic() + self._policy.refusal_pause_seconds
        waits_for = before.waits_for if before else pending
        self._memory.refused[row.key] = _Refused(tries, next_at, waits_for)

    async def _fill_gap(self, held: Sequence[Outstanding], mined_count: int, head: Block) -> None:
        """Use up a nonce that nothing holds while later ones wait for it, as after a reorganisation."""
        waiting = [one.nonce for one in held if one.included is None]
        if not waiting or min(waiting) <= mined_count:
            self._memory.gap_since = None
            return
        now = time.monotonic()
        if self._memory.gap_since is None:
            self._memory.gap_since = now
        if now - self._memory.gap_since < self._policy.resend_seconds:
            return
        self._memory.gap_since = now
        fees = await self._fees(head)
        for nonce in range(mined_count, min(waiting)):
            filler = sign_nothing(self._signer, self._client.contracts.chain_id, nonce, fees)
            _log.warning("nonce_gap_filled", nonce=nonce)
            await self._broadcast(f"gap:{nonce}", filler)

    async def _broadcast(self, key: str, attempt: Attempt) -> None:
        """Send bytes that are saved; a refusal of the node is noted and met again at the next pass."""
        self._memory.sent_at[key] = time.monotonic()
        try:
            await self._client.send_raw(attempt.raw)
        except (RpcError, RevertedError) as problem:
            self._note(f"nonce {attempt.nonce}: {problem}")
        else:
            self.problem = None

    async def _fees(self, head: Block) -> Fees:
        tip_wei = await self._client.priority_fee_wei()
        return Fees.suggested(head.base_fee_wei, tip_wei, self._policy.max_fee_wei)

    async def _gas_limit(self, row: OutboxRow) -> int:
        return await self._client.estimate_gas(row.call, self._signer.account) * 5 // 4

    def _sign(self, row: OutboxRow, nonce: int, gas_limit: int, fees: Fees) -> Attempt:
        return sign_call(self._signer, self._client.contracts.chain_id, row.call, nonce, gas_limit, fees)

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("sender_waits", problem=problem)
        if self.problem is None:
            self._problem_since = time.monotonic()
        self.problem = problem
