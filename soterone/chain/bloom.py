"""The Bloom filter over a block's logs that its header holds (yellow paper, 4.3.1), as a 2048-bit number."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from eth_utils.crypto import keccak


@lru_cache(maxsize=4096)
def bits_of(value: str) -> int:
    """Return the three bits that an address or topic (`0x` text) sets."""
    digest = keccak(hexstr=value)
    places = (int.from_bytes(digest[start : start + 2]) % 2048 for start in (0, 2, 4))
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits


def may_hold(bloom: int, value: str) -> bool:
    """Whether logs of this address or topic may be in the block; never False when there are any."""
    return bloom & bits_of(value) == bits_of(value)


def bloom_of(logs: Iterable[Mapping[str, Any]]) -> int:
    """Return the filter of logs as an RPC gives them."""
    bloom = 0
    for log in logs:
        for value in (log["address"], *log["topics"]):
            bloom |= bits_of(value.lower())
    return bloom
