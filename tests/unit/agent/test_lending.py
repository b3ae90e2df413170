"""Lending a checkpoint: whoever lends, the whole stays the same, and what one node sees says nothing of it."""

import secrets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from node_agent.engines.spu.lending import NODES, common_component, joined, lent_number, split
from soterone.domain.share_file import Pairs

LENDERS = [(0, 1), (0, 2), (1, 2)]
NUMBERS = st.lists(st.integers(0, 2**64 - 1), max_size=5)


def shared(numbers: list[int], mask: list[int]) -> list[Pairs]:
    """Share numbers by the definition of ABY3, with the components that the masks make."""
    whole, x0 = np.array(numbers, np.uint64), np.array(mask, np.uint64)
    x1 = x0 * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    parts = [x0, x1, whole - x0 - x1]
    return [np.stack([parts[rank], parts[(rank + 1) % 3]], axis=-1) for rank in range(3)]


def lent(shares: list[Pairs], lenders: tuple[int, int]) -> list[Pairs]:
    """Let two nodes lend; returns what each rank of the new trio holds."""
    lower, higher = lenders
    first = split(lent_number(shares[lower], lower, higher))
    second = split(lent_number(shares[higher], higher, lower))
    return [joined(first[rank], second[rank]) for rank in range(NODES)]


def opened(lower: int, higher: int, shares: list[Pairs]) -> list[int]:
    """Open by the definition, from two nodes alone."""
    held = {at % 3: shares[rank][..., at - rank] for rank in (lower, higher) for at in (rank, rank + 1)}
    return [int(number) for number in held[0] + held[1] + held[2]]


@given(st.data(), st.sampled_from(LENDERS), st.sampled_from(LENDERS))
def test_the_whole_stays_the_same(
    data: st.DataObject, lenders: tuple[int, int], openers: tuple[int, int]
) -> None:
    numbers = data.draw(NUMBERS)
    size = st.lists(st.integers(0, 2**64 - 1), min_size=len(numbers), max_size=len(numbers))
    shares = shared(numbers, data.draw(size))
    assert opened(*openers, shares) == numbers
    assert opened(*openers, lent(shares, lenders)) == numbers


@given(NUMBERS.filter(bool), st.sampled_from(LENDERS))
def test_nodes_that_share_a_component_hold_the_same(numbers: list[int], lenders: tuple[int, int]) -> None:
    shares = lent(shared(numbers, numbers), lenders)
    for lower, higher in LENDERS:
        ours = common_component(shares[lower], lower, higher)
        theirs = common_component(shares[higher], higher, lower)
        assert ours.tolist() == theirs.tolist()


def set_bits(numbers: NDArray[np.uint64]) -> float:
    return float(np.unpackbits(np.ascontiguousarray(numbers).view(np.uint8)).mean())


@pytest.mark.parametrize("number", [0, 2**64 - 1, 1 << 18])
@pytest.mark.parametrize("rank", range(NODES))
def test_one_nodes_view_is_uniform_whatever_was_split(number: int, rank: int) -> None:
    """Half of the bits are set within ten deviations: of both numbers, their sum, and where they differ."""
    view = split(np.full((4096, 1), number, np.uint64))[rank].reshape(-1, 2)
    for seen in (view[:, 0], view[:, 1], view[:, 0] + view[:, 1], view[:, 0] ^ view[:, 1]):
        assert abs(set_bits(seen) - 0.5) < 0.01
    assert len(np.unique(view)) == view.size


def test_a_checkpoint_that_is_lent_twice_goes_by_other_parts() -> None:
    numbers = np.array([[secrets.randbits(64)]], np.uint64)
    first, second = split(numbers), split(numbers)
    assert not {int(n) for part in first for n in part.ravel()} & {
        int(n) for part in second for n in part.ravel()
    }


@pytest.mark.parametrize("ranks", [(0, 0), (3, 1), (1, -1)])
def test_two_different_ranks_lend(ranks: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two different ranks"):
        lent_number(np.zeros((1, 1, 2), np.uint64), *ranks)
