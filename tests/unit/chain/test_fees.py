"""What a transaction offers: never above the limit, and always enough more to replace the one before."""

from eth_account import Account as EthAccount
from hypothesis import given
from hypothesis import strategies as st

from soterone.chain.calls import Call
from soterone.chain.transactions import Fees, sign_call
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account

WEI = st.integers(0, 10**13)
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


@given(WEI, WEI, st.integers(1, 10**13))
def test_suggested_fees_keep_to_the_limit_and_to_each_other(base: int, tip: int, limit: int) -> None:
    fees = Fees.suggested(base, tip, limit)
    assert fees.priority_fee_wei <= fees.max_fee_wei <= limit
    assert fees.max_fee_wei == min(limit, 2 * base + tip)


@given(WEI, WEI, WEI, WEI, st.integers(1, 10**13))
def test_bumped_fees_are_an_eighth_more_or_nothing(
    base: int, tip: int, later_base: int, later_tip: int, limit: int
) -> None:
    first, now = Fees.suggested(base, tip, limit), Fees.suggested(later_base, later_tip, limit)
    bumped = first.bumped(now, limit)
    if bumped is None:
        assert max(first.max_fee_wei * 9 // 8 + 1, first.priority_fee_wei * 9 // 8 + 1) > limit
    else:
        assert bumped.max_fee_wei * 8 >= first.max_fee_wei * 9
        assert bumped.priority_fee_wei * 8 >= first.priority_fee_wei * 9
        assert bumped.priority_fee_wei <= bumped.max_fee_wei <= limit
        assert bumped.max_fee_wei >= now.max_fee_wei


def test_a_signed_call_is_the_transaction_that_eth_account_signs() -> None:
    call = Call(Account("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), b"\x01\x02", "test")
    attempt = sign_call(Signer.from_key(KEY), 31337, call, 7, 100_000, Fees(2 * 10**9, 10**9))
    theirs = EthAccount.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": 7,
            "to": call.to,
            "value": 0,
            "data": call.data,
            "gas": 100_000,
            "maxFeePerGas": 2 * 10**9,
            "maxPriorityFeePerGas": 10**9,
        },
        KEY,
    )
    assert attempt.raw == bytes(theirs.raw_transaction)
    assert attempt.transaction_hash == f"0x{bytes(theirs.hash).hex()}"
    assert EthAccount.recover_transaction(attempt.raw) == Signer.from_key(KEY).account
