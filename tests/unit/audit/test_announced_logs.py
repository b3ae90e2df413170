"""Logs that a block's header does not announce."""

from dataclasses import replace

import pytest

from soterone.audit.headers import Header
from soterone.audit.history import _unannounced
from soterone.chain.bloom import bloom_of
from soterone.chain.records import Block
from soterone.domain.ids import hash32

HASH = hash32(bytes(32))
LOG = {"address": f"0x{'11' * 20}", "topics": [f"0x{'22' * 32}"], "data": "0x"}
EMPTY = Header(Block(0, HASH, HASH, 0, 0), bytes(32))


def complaints(*blooms: int) -> list[str]:
    """What is said of one log in each of blocks 0, 1, … with these Bloom filters."""
    headers = {
        number: replace(EMPTY, block=replace(EMPTY.block, number=number, logs_bloom=bloom))
        for number, bloom in enumerate(blooms)
    }
    logs = [{**LOG, "blockNumber": hex(number)} for number in headers]
    return [one.sentence for one in _unannounced(logs, headers)]


@pytest.mark.parametrize("other", [0, 1], ids=["empty", "of others"])
def test_a_log_must_be_in_its_blocks_filter(other: int) -> None:
    announced = bloom_of([LOG])
    (sentence,) = complaints(announced, other)
    assert "logs of block 1 that" in sentence
    assert complaints(announced, announced) == []


def test_a_chain_without_filters_is_believed() -> None:
    assert complaints(0, 0) == []
