"""Ranges of blocks follow what a chain's node answers for at once."""

import pytest

from soterone.chain.errors import RpcError
from soterone.chain.log_ranges import LogRanges


class Node:
    """Answers for so many blocks at once."""

    def __init__(self, most_blocks: int) -> None:
        self.most_blocks, self.asked = most_blocks, 0

    async def heights(self, first: int, last: int) -> list[int]:
        self.asked += 1
        if last - first >= self.most_blocks:
            raise RpcError("eth_getLogs", -32005, "query returned more than 10000 results")
        return list(range(first, last + 1))


async def read_all(ranges: LogRanges, node: Node, first: int, target: int) -> list[int]:
    found: list[int] = []
    while first <= target:
        heights, last = await ranges.read(first, target, node.heights)
        found, first = found + heights, last + 1
    return found


@pytest.mark.parametrize("most_blocks", [1, 3, 100, 1000])
async def test_every_height_is_read_once_whatever_the_node_allows(most_blocks: int) -> None:
    node = Node(most_blocks)
    assert await read_all(LogRanges(100), node, 7, 506) == list(range(7, 507))


async def test_what_the_node_allows_is_remembered() -> None:
    node, ranges = Node(10), LogRanges(1000)
    await read_all(ranges, node, 0, 99)
    first = node.asked
    await read_all(ranges, node, 0, 99)
    assert node.asked - first < first
    node.most_blocks = 1000
    for _ in range(60):
        await ranges.read(0, 0, node.heights)
    assert await ranges.read(0, 999, node.heights) == (list(range(1000)), 999)


async def test_a_node_that_refuses_a_single_block_is_an_error() -> None:
    with pytest.raises(RpcError):
        await LogRanges(8).read(0, 100, Node(0).heights)
