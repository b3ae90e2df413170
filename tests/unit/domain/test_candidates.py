"""The draw of MPC nodes: repeatable, fair to newcomers, one operator one place."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soterone.domain.candidates import Candidate, TooFewCandidatesError, choose, rank
from soterone.domain.ids import Account


def node(
    number: int, bound: int = 0, operator: int | None = None, newcomer: bool = False, version: int = 1
) -> Candidate:
    owner = number if operator is None else operator
    return Candidate(Account(f"0x{number:040x}"), Account(f"0x{owner:040x}"), version, bound, newcomer)


@given(st.binary(min_size=32, max_size=32), st.lists(st.integers(0, 10**9), min_size=3, max_size=12))
def test_a_draw_can_be_repeated_and_takes_three_operators(seed: bytes, bounds: list[int]) -> None:
    nodes = [node(number, bound) for number, bound in enumerate(bounds, start=1)]
    drawn = choose(seed, nodes, 3)
    assert drawn == choose(seed, list(reversed(nodes)), 3)
    assert len(set(drawn)) == 3


def test_one_operator_never_gets_two_places() -> None:
    nodes = [node(1, 9, 7), node(2, 8, 7), node(3, 7, 8)]
    with pytest.raises(TooFewCandidatesError, match="3 MPC nodes of different operators are needed, 2 can"):
        choose(bytes(32), nodes, 3)


def test_taken_operators_and_old_versions_are_out() -> None:
    nodes = [node(1, 9), node(2, 8, version=0), node(3, 7), node(4, 1), node(5, 1)]
    drawn = choose(bytes(32), nodes, 3, minimum_version=1, taken_operators=frozenset())
    assert nodes[1].account not in drawn
    with pytest.raises(TooFewCandidatesError):
        choose(bytes(32), nodes, 4, minimum_version=1, taken_operators=frozenset({nodes[0].operator}))


def test_the_worst_of_many_is_not_drawn_and_newcomers_get_about_a_tenth() -> None:
    veterans = [node(number, 1_000 - number) for number in range(1, 21)]
    fresh = [node(100 + number, 0, newcomer=True) for number in range(5)]
    first = Counter(choose(seed.to_bytes(32), [*veterans, *fresh], 1)[0] for seed in range(2_000))
    assert veterans[-1].account not in first
    share = sum(first[candidate.account] for candidate in fresh) / 2_000
    assert 0.07 < share < 0.13


def test_ties_are_ordered_by_account() -> None:
    assert [candidate.account for candidate in rank([node(3), node(1), node(2)])] == [
        node(n).account for n in (1, 2, 3)
    ]
