"""Calldata beside events: what was said otherwise, or cannot have been said at all."""

from dataclasses import astuple, replace

import pytest

from soterone.audit.lifecycles import Lifecycle, LifecycleReplay, Windows
from soterone.audit.registry import RegistryReplay
from soterone.audit.statements import StatementReader
from soterone.audit.transactions import Transaction
from soterone.audit.visits import Replayed
from soterone.chain.codec import encode_call
from soterone.chain.events import (
    Event,
    LogPosition,
    MPCUpdated,
    NodeRegistered,
    NodeSuspended,
    QueryCompleted,
    QuerySettled,
    TermsChanged,
)
from soterone.chain.openings import Opening, Roster, Terms, result_hash
from soterone.chain.records import Contracts, QueryStatus
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain, Registration, sign
from soterone.domain import panels
from soterone.domain.ids import Account, Hash32, QueryId, hash32

HASH, QUERY = Hash32("0x" + "2" * 64), QueryId("0x" + "3" * 64)
AT = LogPosition(1, 1, 0, HASH, HASH)
ADDRESSES = {
    name: Account(f"0x{place:040x}") for place, name in enumerate(("NodeRegistry", "QueryLedger"), 1)
}
SHARES = (b"\x01" * 32, b"\x02" * 32, bytes(32))
NOW, SILENCE = 1_000_000, 600
NODE = Signer.new()
MESSAGE = Registration(NODE.account, NODE.account, 2, 256, b"\x05" * 32, b"\x06" * 32, 1, NOW + 60)
REGISTERED = NodeRegistered(
    AT, NODE.account, NODE.account, 1, 2, 256, hash32(MESSAGE.tls_key_hash), hash32(MESSAGE.profile_hash)
)
SIGNATURE = sign(NODE, Domain(1, ADDRESSES["NodeRegistry"]), MESSAGE)


def node(number: int) -> Account:
    return Account(f"0x{number:040x}")


def read(contract: str | None, data: bytes, *events: Event, time: int = NOW) -> StatementReader:
    """Read a call of one of our contracts, of another one, or (None) the creation of one."""
    contracts = Contracts(1, 1, ADDRESSES, {})
    registry = RegistryReplay()
    replayed = Replayed(contracts, registry, LifecycleReplay(registry, Windows(1, 1)), None)
    reader = StatementReader(replayed)
    to = ADDRESSES.get(contract, node(99)) if contract else None
    reader.apply(Transaction(HASH, to, data, b""), events, time)
    return reader


def complaints(reader: StatementReader) -> str:
    return "\n".join(one.sentence for one in (*reader.tally.findings, *reader.tally.wrong_results))


def registering(message: Registration = MESSAGE, signature: bytes = SIGNATURE) -> bytes:
    return encode_call("NodeRegistry", "register", astuple(message), signature, b"")


def completing(*shares: bytes) -> bytes:
    return encode_call("QueryLedger", "complete", bytes.fromhex(QUERY[2:]), 7, list(shares))


def test_what_was_signed_and_announced_alike_is_believed() -> None:
    reader = read("NodeRegistry", registering(), REGISTERED)
    assert complaints(reader) == ""
    assert (reader.passed_on, reader.tally.signatures) == (0, 1)
    assert not reader.tally.wallets


def test_an_announcement_of_something_else_is_named() -> None:
    assert "was announced with 257 instead of 256" in complaints(
        read("NodeRegistry", registering(), replace(REGISTERED, version=257))
    )
    assert "shows 0 NodeRegistered for one call" in complaints(
        read("NodeRegistry", registering(), QueryCompleted(AT, QUERY, 0, HASH))
    )


def test_a_stranger_signature_is_left_to_the_account_and_deadlines_hold() -> None:
    forged = sign(Signer.new(), Domain(1, ADDRESSES["NodeRegistry"]), MESSAGE)
    (left,) = read("NodeRegistry", registering(signature=forged), REGISTERED).tally.wallets
    assert left.signers == (NODE.account,)
    assert left.finding.sentence == f"the registration of {NODE.account} was not signed by {NODE.account}"
    for time in (NOW + 61, NOW + 60 - 31 * 86_400):
        late = read("NodeRegistry", registering(), REGISTERED, time=time)
        assert "outside the time of its signature" in complaints(late)


def test_a_result_is_the_hash_of_two_shares_at_least() -> None:
    completed = QueryCompleted(AT, QUERY, 0, hash32(result_hash(SHARES)))
    assert complaints(read("QueryLedger", completing(*SHARES), completed)) == ""
    other = replace(completed, result_hash=HASH)
    assert f"was announced with {HASH}" in complaints(read("QueryLedger", completing(*SHARES), other))
    lonely = (SHARES[0], bytes(32), bytes(32))
    announced = replace(completed, result_hash=hash32(result_hash(lonely)))
    assert "fewer than two shares" in complaints(read("QueryLedger", completing(*lonely), announced))


def test_calldata_that_no_contract_takes_caused_nothing() -> None:
    opening = (NODE.account, 1, 2, [NODE.account], bytes(32), bytes(32))
    replacement = (9, 0, 4, 5, NOW + 60, [NODE.account])
    data = encode_call("QueryLedger", "replaceMpc", bytes.fromhex(QUERY[2:]), opening, replacement, b"")
    event = MPCUpdated(AT, QUERY, NODE.account, NODE.account, 1, 5, (NODE.account,))
    assert "cannot have caused its events" in complaints(read("QueryLedger", data, event))


def test_what_another_contract_passed_on_is_counted() -> None:
    assert read("Wallet", registering(), REGISTERED).passed_on == 1
    unsigned = encode_call("NodeRegistry", "setSuspended", node(7), True)
    reader = read("NodeRegistry", unsigned, NodeSuspended(AT, node(7), True))
    assert (reader.passed_on, reader.tally.findings) == (0, [])
    announced = TermsChanged(AT, panels.Terms(3, 2, 3, 9, 0))
    assert read(None, b"", announced).passed_on == 0
    assert read(None, b"", announced, REGISTERED).passed_on == 1


def test_a_call_of_a_function_that_there_is_not_caused_nothing() -> None:
    assert "cannot have caused its events" in complaints(
        read("NodeRegistry", b"\x01\x02\x03\x04", REGISTERED)
    )


@pytest.mark.parametrize("late", [0, -1], ids=["in time", "too early"])
def test_what_is_settled_as_uncontested_waits_for_the_silence_to_last(late: int) -> None:
    roster, terms = (
        Roster(node(9), (node(1),), tuple(map(node, (2, 3, 4)))),
        Terms(bytes(32), bytes(32), 1, 1, 1, 0),
    )
    opening = Opening(roster, terms).completed(result_hash(SHARES))
    ended = Lifecycle(opening, NOW - 9, 1, NOW - SILENCE, status=QueryStatus.COMPLETED)
    registry = RegistryReplay()
    lifecycles = LifecycleReplay(registry, Windows(1, SILENCE), {QUERY: ended})
    contracts = Contracts(1, 1, {**ADDRESSES, "ReputationLedger": node(77)}, {})
    reader = StatementReader(Replayed(contracts, registry, lifecycles, None))
    data = encode_call("ReputationLedger", "settleUncontested", bytes.fromhex(QUERY[2:]), opening.abi())
    settled = QuerySettled(AT, QUERY, roster.participants, (100,) * 4)
    reader.apply(Transaction(HASH, node(77), data, b""), [settled], NOW + late)
    assert ("was settled as uncontested out of turn" in complaints(reader)) == bool(late)
