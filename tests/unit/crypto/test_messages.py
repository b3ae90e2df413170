"""Signed messages: recovered only from a canonical signature of exactly this message in exactly this domain."""

from dataclasses import replace

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data

from soterone.crypto.accounts import Signer, account
from soterone.crypto.messages import (
    CleanupDone,
    Domain,
    Feedback,
    Message,
    QueryOrder,
    Registration,
    SignatureError,
    recover,
    sign,
    typed_data,
)

SIGNER = Signer.from_key("0x" + "11" * 32)
DOMAIN = Domain(31337, account("0x" + "22" * 20))
ORDER = QueryOrder(
    SIGNER.account,
    bytes(32),
    bytes([1]) * 32,
    (SIGNER.account,),
    (DOMAIN.contract,),
    bytes([2]) * 32,
    60,
    10,
    10,
    2,
    99,
)
MESSAGES: list[Message] = [
    ORDER,
    Registration(SIGNER.account, SIGNER.account, 3, 65536, bytes(32), bytes(32), 1, 99),
    Feedback(bytes(32), (SIGNER.account,), (80,), 99),
    CleanupDone(bytes(32), 99),
]
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_wallet_signs_the_same_bytes(message: Message) -> None:
    ours = sign(SIGNER, DOMAIN, message)
    signable = encode_typed_data(full_message=typed_data(DOMAIN, message))
    assert bytes(EthAccount.sign_message(signable, SIGNER.private_key()).signature) == ours
    assert recover(DOMAIN, message, ours) == SIGNER.account


@pytest.mark.parametrize(
    "domain",
    [replace(DOMAIN, chain_id=1), replace(DOMAIN, contract=SIGNER.account)],
    ids=["other chain", "other contract"],
)
def test_a_signature_is_worth_nothing_elsewhere(domain: Domain) -> None:
    assert recover(domain, ORDER, sign(SIGNER, DOMAIN, ORDER)) != SIGNER.account


def test_a_changed_message_has_another_signer() -> None:
    assert recover(DOMAIN, replace(ORDER, max_replacements=3), sign(SIGNER, DOMAIN, ORDER)) != SIGNER.account


def test_malleable_and_short_signatures_are_refused() -> None:
    good = sign(SIGNER, DOMAIN, ORDER)
    high_s = CURVE_ORDER - int.from_bytes(good[32:64])
    twin = good[:32] + high_s.to_bytes(32) + bytes([55 - good[64]])
    for bad in (twin, good[:64], good + b"\0", good[:64] + b"\0", bytes(64) + b"\x1b", b""):
        with pytest.raises(SignatureError):
            recover(DOMAIN, ORDER, bad)


def test_a_signer_does_not_show_its_key() -> None:
    assert "11" * 32 not in repr(SIGNER)
