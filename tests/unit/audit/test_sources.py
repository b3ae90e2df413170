"""Deployed code beside compiled code: what may differ, and what not."""

import pytest
from eth_utils.crypto import keccak

from soterone.audit.sources import Compiled, problems_of
from soterone.chain.records import Contracts
from soterone.domain.ids import Account

ADDRESSES = {
    name: Account(f"0x{place:040x}") for place, name in enumerate(("NodeRegistry", "QueryLedger"), 1)
}
CONTRACTS = Contracts(31337, 1, ADDRESSES, {})
CODE = b"\x60\x01" + bytes(32) + b"\x60\x02" + bytes(32) + b"\x60\x03" + bytes(32) + b"\x60\x04" + bytes(32)
PLACES = (2, 36, 70, 104)
COMPILED = Compiled(
    CODE,
    {"REGISTRY": ((2, 32), (36, 32)), "_hashedName": ((70, 32),), "_cachedThis": ((104, 32),)},
)
REGISTRY, LEDGER = (int(ADDRESSES[name], 16).to_bytes(32) for name in ("NodeRegistry", "QueryLedger"))
HONEST = (REGISTRY, REGISTRY, keccak(b"SoterOne"), LEDGER)


def deployed(*immutables: bytes) -> bytes:
    code = bytearray(CODE)
    for place, value in zip(PLACES, immutables, strict=True):
        code[place : place + 32] = value
    return bytes(code)


def problems(code: bytes) -> list[str]:
    return list(problems_of("QueryLedger", COMPILED, code, CONTRACTS))


def test_immutables_that_fit_the_network_are_no_difference() -> None:
    assert problems(deployed(*HONEST)) == []


@pytest.mark.parametrize("place", [0, 1, 34, 35, 68, 103])
def test_one_other_byte_of_code_is_a_difference(place: int) -> None:
    code = bytearray(deployed(*HONEST))
    code[place] ^= 1
    assert problems(bytes(code)) == ["has other code on chain than its sources compile to"]


@pytest.mark.parametrize(
    ("immutables", "name"),
    [
        ((LEDGER, LEDGER, *HONEST[2:]), "REGISTRY"),
        ((REGISTRY, LEDGER, *HONEST[2:]), "REGISTRY"),
        ((*HONEST[:2], keccak(b"Another"), LEDGER), "_hashedName"),
        ((*HONEST[:3], REGISTRY), "_cachedThis"),
    ],
)
def test_immutables_of_another_network_are_named(immutables: tuple[bytes, ...], name: str) -> None:
    (problem,) = problems(deployed(*immutables))
    assert problem == f"was constructed with another {name} than its own network's"


def test_code_that_is_missing_or_longer_is_a_difference() -> None:
    assert problems(b"")
    assert problems(deployed(*HONEST) + b"\x00\x60")
