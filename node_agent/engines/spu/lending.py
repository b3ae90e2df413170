"""How two survivors hand three nodes a checkpoint that they hold between them, unseen by anybody: pure.

In ABY3 (Mohassel & Rindal 2018) x = x_0 + x_1 + x_2 mod 2^64 and the node of rank i holds (x_i, x_(i+1)). Two lenders
hold all three components: one adds up its two, the other takes the third. Each splits its number anew, and a node
that adds the two parts it is lent holds a share of the same x by components that nobody held before.
"""

import secrets

import numpy as np
from numpy.typing import NDArray

from soterone.domain.share_file import Pairs

NODES = 3
Numbers = NDArray[np.uint64]
"""An array of numbers mod 2^64, in the shape of what is shared."""


def lent_number(pairs: Pairs, rank: int, other_rank: int) -> Numbers:
    """Return what a lender has to lend: the two components together at the lower rank, the third at the other.

    ValueError unless the ranks are two different ones of 0, 1, 2.
    """
    if not {rank, other_rank} < set(range(NODES)) or rank == other_rank:
        raise ValueError("two different ranks of 0, 1 and 2 lend a checkpoint")
    if rank < other_rank:
        return np.add(pairs[..., 0], pairs[..., 1], dtype=np.uint64)
    third = (other_rank + 2) % NODES
    return pairs[..., (third - rank) % NODES].astype(np.uint64)


def split(numbers: Numbers) -> tuple[Pairs, Pairs, Pairs]:
    """Split numbers into three parts from the operating system's generator; returns the pairs (k, k+1) of each rank k.

    Two pairs together are the numbers; one alone is uniform, whatever they are.
    """
    parts = [_uniform(numbers.shape), _uniform(numbers.shape)]
    parts.append(numbers - parts[0] - parts[1])
    of_rank = [np.stack([parts[rank], parts[(rank + 1) % NODES]], axis=-1) for rank in range(NODES)]
    return of_rank[0], of_rank[1], of_rank[2]


def joined(first: Pairs, second: Pairs) -> Pairs:
    """Return a node's share of the whole from the parts that the two lenders gave it."""
    return np.add(first, second, dtype=np.uint64)


def common_component(pairs: Pairs, rank: int, other_rank: int) -> Numbers:
    """Return the component that the node of `rank` has in common with the one of `other_rank`."""
    return pairs[..., 1 if other_rank == (rank + 1) % NODES else 0]


def _uniform(shape: tuple[int, ...]) -> Numbers:
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(secrets.token_bytes(8 * count), dtype="<u8").reshape(shape)
