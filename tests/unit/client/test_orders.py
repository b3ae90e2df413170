"""A customer signs only what it asked for, and takes only what its nodes signed."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from soterone.chain.openings import Opening, result_hash
from soterone.client.errors import ClientError, Untrustworthy
from soterone.client.keyring import Keyring
from soterone.client.orders import check_order, to_order
from soterone.client.verification import Replacement, check_result
from soterone.crypto.accounts import Signer, account
from soterone.crypto.messages import Domain, QueryOrder, ResultShare, query_id_of, sign
from soterone.crypto.sealing import ResultKey, result_key_hash
from soterone.domain.ids import QueryId, hash32, hash_bytes
from soterone.domain.spec import parse_spec
from soterone.rest.queries import OrderBody, Proposal, ProposalRequest, ResultView, SealedShare

LEDGER = Domain(31337, account("0x" + "99" * 20))
CUSTOMER, OWNERS = Signer.new(), (Signer.new(), Signer.new())
MPCS = tuple(sorted((Signer.new() for _ in range(3)), key=lambda signer: int(signer.account, 16)))
KEY = ResultKey.new()
A, B = "2f9cface-7482-45f0-8af6-b9d2d6e2267d", "4555a974-c6a3-4740-b6bb-1427cf6a05c6"
SPEC = parse_spec(
    f"name: x\nalgorithm: vertical-logistic-regression\ndatasets: [{A}, {B}]\nlabel: {{dataset: {A}, column: y}}"
)
REQUEST = ProposalRequest(spec=SPEC, result_key=f"0x{KEY.public.hex()}")
ORDER = OrderBody(
    customer=CUSTOMER.account,
    salt=hash32(bytes([7]) * 32),
    spec_hash=SPEC.hash,
    owners=sorted((owner.account for owner in OWNERS), key=lambda one: int(one, 16)),
    mpcs=[node.account for node in MPCS],
    result_key_hash=hash32(result_key_hash(KEY.public)),
    max_run_seconds=3600,
    result_retry_seconds=600,
    cleanup_grace_seconds=600,
    max_replacements=2,
    deadline=1_600,
)
ID = query_id_of(LEDGER, CUSTOMER.account, hash_bytes(ORDER.salt))


def checked(order: OrderBody, query_id: QueryId = ID) -> QueryOrder:
    proposal = Proposal(query_id=query_id, order=order, expires_in_seconds=60)
    return check_order(
        REQUEST, proposal, {owner.account for owner in OWNERS}, CUSTOMER.account, ID, now=1_000
    )


def test_an_honest_order_is_accepted() -> None:
    assert checked(ORDER) == to_order(ORDER)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"customer": OWNERS[0].account}, "another customer"),
        ({"spec_hash": hash32(bytes(32))}, "another spec"),
        ({"result_key_hash": hash32(bytes(32))}, "another result key"),
        ({"owners": [OWNERS[0].account]}, "other data owners"),
        ({"mpcs": [MPCS[0].account] * 3}, "other MPC nodes"),
        ({"max_replacements": 8}, "other timers"),
        ({"deadline": 999}, "a deadline out of reason"),
        ({"deadline": 2**40}, "a deadline out of reason"),
    ],
)
def test_a_dishonest_proposal_is_not_signed(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(Untrustworthy, match=complaint):
        checked(ORDER.model_copy(update=change))


def test_a_query_id_of_somebody_else_is_not_signed() -> None:
    with pytest.raises(Untrustworthy, match="another query id"):
        checked(ORDER, QueryId(hash32(bytes(32))))


def sealed(signer: Signer, rank: int, content: bytes, generation: int = 0) -> SealedShare:
    share_hash = keccak(content)
    message = ResultShare(hash_bytes(ID), generation, rank, share_hash)
    return SealedShare(
        node=signer.account,
        rank=rank,
        share_hash=hash32(share_hash),
        signature=f"0x{sign(signer, LEDGER, message).hex()}",
        sealed_base64=base64.b64encode(content).decode(),
    )


SHARES = [sealed(node, rank, bytes([rank]) * 9) for rank, node in enumerate(MPCS)]
CONSTANTS = [sealed(owner, 255, b"constants") for owner in OWNERS]
WHOLE = result_hash([hash_bytes(share.share_hash) for share in SHARES])
ON_CHAIN = Opening.of_order(to_order(ORDER)).completed(WHOLE).commitment()
RESULT = ResultView(query_id=ID, generation=0, result_hash=hash32(WHOLE), shares=SHARES, constants=CONSTANTS)


def test_an_honest_result_is_taken() -> None:
    taken = check_result(RESULT, to_order(ORDER), ON_CHAIN, LEDGER)
    assert taken.shares == {rank: bytes([rank]) * 9 for rank in range(3)}
    assert set(taken.constants) == {owner.account for owner in OWNERS}


@pytest.mark.parametrize(
    "change",
    [
        {"shares": SHARES[:2]},
        {"shares": [SHARES[1], SHARES[0], SHARES[2]][:2]},
        {"shares": [*SHARES[:2], sealed(OWNERS[0], 2, bytes([2]) * 9)]},
        {"shares": [*SHARES[:2], SHARES[2].model_copy(update={"sealed_base64": SHARES[0].sealed_base64})]},
        {"shares": [*SHARES[:2], SHARES[2].model_copy(update={"signature": "0x00"})]},
        {"constants": [sealed(MPCS[0], 255, b"constants")]},
        {"constants": [CONSTANTS[0].model_copy(update={"sealed_base64": "AAAA"})]},
        {"generation": 1},
    ],
)
def test_a_forged_result_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Untrustworthy):
        check_result(RESULT.model_copy(update=change), to_order(ORDER), ON_CHAIN, LEDGER)


SUCCESSOR = Signer.new()
REPLACED = ((MPCS[1].account, SUCCESSOR.account),)
TRIO = (MPCS[0], SUCCESSOR, MPCS[2])
SECOND_SHARES = [sealed(node, rank, bytes([rank]) * 9, 1) for rank, node in enumerate(TRIO)]
SECOND_RESULT = RESULT.model_copy(update={"generation": 1, "shares": SECOND_SHARES, "constants": []})
SECOND_ON_CHAIN = Opening.of_order(to_order(ORDER)).replaced(*REPLACED[0]).completed(WHOLE).commitment()


def test_the_result_of_a_successor_is_taken() -> None:
    taken = check_result(SECOND_RESULT, to_order(ORDER), SECOND_ON_CHAIN, LEDGER, REPLACED)
    assert (taken.generation, set(taken.shares)) == (1, {0, 1, 2})


@pytest.mark.parametrize(
    ("replaced", "change"),
    [
        ((), {}),
        (((MPCS[2].account, SUCCESSOR.account),), {}),
        (((SUCCESSOR.account, MPCS[1].account),), {}),
        (REPLACED, {"generation": 0}),
        (REPLACED, {"shares": [SECOND_SHARES[0], SHARES[1], SECOND_SHARES[2]]}),
        (REPLACED, {"shares": SHARES}),
    ],
)
def test_a_result_that_does_not_fit_the_replacements_is_refused(
    replaced: tuple[Replacement, ...], change: dict[str, object]
) -> None:
    forged = SECOND_RESULT.model_copy(update=change)
    with pytest.raises(Untrustworthy):
        check_result(forged, to_order(ORDER), SECOND_ON_CHAIN, LEDGER, replaced)


def test_a_result_of_other_participants_is_refused() -> None:
    stranger = replace(to_order(ORDER), mpcs=(MPCS[1].account, MPCS[0].account, MPCS[2].account))
    with pytest.raises(Untrustworthy, match="whose hash stands on chain"):
        check_result(RESULT, stranger, ON_CHAIN, LEDGER)


def test_a_keyring_gives_keys_to_their_wallet_only(tmp_path: Path) -> None:
    Keyring(tmp_path, CUSTOMER).keep(ID, KEY, ORDER)
    assert Keyring(tmp_path, CUSTOMER).find(ID) == KEY
    assert Keyring(tmp_path, CUSTOMER).order(ID) == to_order(ORDER)
    with pytest.raises(ClientError, match="belongs to another account"):
        Keyring(tmp_path, OWNERS[0]).find(ID)
    with pytest.raises(ClientError, match="was not ordered from"):
        Keyring(tmp_path / "elsewhere", CUSTOMER).find(ID)
    assert all(KEY.seed not in path.read_bytes() for path in tmp_path.iterdir())
