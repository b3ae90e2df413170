"""Panels: what holds of every draw, and what a roster's code says."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soterone.crypto.accounts import account
from soterone.domain.ids import Account, hash32
from soterone.domain.panels import Bench, Seat, Terms, TooFewSeatsError, draw, roster_of_code

TERMS = Terms(panel_size=3, threshold=2, appeal_epochs=3, suspension_epochs=9, severities=0x01312210)


def accounts(count: int, first: int = 1) -> list[Account]:
    return [account(number.to_bytes(20)) for number in range(first, first + count)]


def bench(count: int, seed: int = 7) -> Bench:
    return Bench(TERMS, tuple(Seat(one, one) for one in accounts(count)), seed)


@settings(deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), who=st.integers(0, 15), other=st.integers(0, 15))
def test_a_recusal_moves_nobody_else(seed: bytes, who: int, other: int) -> None:
    recused = 1 << who | 1 << other
    free, panel = draw(seed, 16, 7, 0), draw(seed, 16, 7, recused)
    assert panel.bit_count() == 7
    assert not panel & recused
    assert not free & ~recused & ~panel


@settings(deadline=None)
@given(epoch_seed=st.integers(0, 2**80 - 1), place=st.integers(0, 6))
def test_nobody_judges_itself_nor_twice(epoch_seed: int, place: int) -> None:
    court = bench(7, epoch_seed)
    accused = court.seats[place].detector
    first = court.panel_on(accused, accused)
    second = court.panel_on_appeal(hash32(bytes(32)), accused, accused, first)
    assert len(first) == len(second) == TERMS.panel_size
    assert not {accused} & {*first, *second}
    assert not set(first) & set(second)
    assert all(int(low, 16) < int(high, 16) for panel in (first, second) for low, high in pairwise(panel))


def test_an_operators_detector_does_not_judge_its_nodes() -> None:
    (node,) = accounts(1, first=100)
    for seed in range(50):
        assert bench(8).seats[0].detector not in bench(8, seed).panel_on(node, bench(8).seats[0].operator)


def test_too_few_seats_make_no_panel() -> None:
    (node,) = accounts(1, first=100)
    assert TERMS.seats_needed == 7
    with pytest.raises(TooFewSeatsError, match="7 detectors' seats are needed and there are 6"):
        bench(6).panel_on(node, node)


def test_a_roster_is_read_from_its_code() -> None:
    packed = 3 | 2 << 8 | 3 << 16 | 9 << 32 | TERMS.severities << 48
    detector, operator = accounts(2)
    words = [packed, int(detector, 16), int(operator, 16)]
    code = b"\0" + b"".join(word.to_bytes(32) for word in words)
    assert roster_of_code(code) == (TERMS, (Seat(detector, operator),))
    for damaged in (b"", code[1:], code[:-1], b"\x60" + code[1:]):
        with pytest.raises(ValueError, match="no roster"):
            roster_of_code(damaged)


def test_severities_by_kind() -> None:
    assert [TERMS.highest_severity(kind) for kind in range(10)] == [0, 1, 2, 2, 1, 3, 1, 0, 0, 0]
