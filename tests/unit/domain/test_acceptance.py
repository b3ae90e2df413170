"""An owner's list of trusted operators against a trio."""

from soterone.domain.acceptance import accepts
from soterone.domain.ids import Account

OWN, A, B, C = (Account("0x" + digit * 40) for digit in "1234")


def test_an_empty_list_accepts_anybody() -> None:
    assert accepts(frozenset(), OWN, (A, B, C))


def test_two_of_three_must_be_trusted() -> None:
    assert accepts(frozenset({A, B}), OWN, (A, B, C))
    assert not accepts(frozenset({A}), OWN, (A, B, C))


def test_the_owners_own_operator_counts_as_trusted() -> None:
    assert accepts(frozenset({A}), OWN, (A, OWN, C))
