"""Looking for thousands of byte patterns at once, at every offset of large memory.

A pattern begins with eight bytes that are rare together: a table of two of them, a table of the next two and a
search among sorted words leave almost nothing to be compared byte by byte.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 8
ANCHORS = (0, 4)
RUN_LENGTH, RUN_GAP_BYTES = 4, 64


@dataclass(frozen=True, slots=True)
class Needle:
    """A pattern of at least eight bytes, which alone is evidence.

    With a `position` it is evidence only in a run: four needles of one label with consecutive positions, each at
    most 64 bytes after the one before, so that arrays, pairs of shares and lists of Python's floats all count.
    """

    content: bytes
    label: str
    position: int | None = None

    @property
    def key(self) -> int:
        """The first eight bytes as a little-endian number."""
        return int.from_bytes(self.content[:KEY_BYTES], "little")


class Needles:
    """What is looked for. Needles with zeros where they should be rare are left out, as they would be everywhere."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        grouped: dict[int, list[Needle]] = defaultdict(list)
        for needle in needles:
            anchor = next((at for at in ANCHORS if any(needle.content[at : at + 2])), None)
            if anchor is not None:
                grouped[anchor].append(needle)
        self._groups = [_Group(anchor, members) for anchor, members in grouped.items()]

    def find(self, content: bytes) -> Counter[str]:
        """Return how often each label was found."""
        hits = [hit for group in self._groups for hit in group.hits(content)]
        found = Counter(needle.label for _, needle in hits if needle.position is None)
        for label in {needle.label for _, needle in hits if needle.position is not None}:
            places = [(place, needle.position or 0) for place, needle in hits if needle.label == label]
            found[label] += _runs(sorted(places))
        return +found


class _Group:
    """Needles whose bytes from `anchor` on are rare."""

    def __init__(self, anchor: int, needles: list[Needle]) -> None:
        self._anchor = anchor
        self._by_key: dict[int, list[Needle]] = defaultdict(list)
        for needle in needles:
            self._by_key[needle.key].append(needle)
        self._keys = np.array(sorted(self._by_key), dtype=np.uint64)
        self._first, self._second = np.zeros((2, 1 << 16), dtype=np.bool_)
        self._first[self._half(self._keys, 0)] = True
        self._second[self._half(self._keys, 1)] = True

    def hits(self, content: bytes) -> Iterator[tuple[int, Needle]]:
        """Yield the offset of each needle found."""
        for parity in (0, 1):
            for place, word in self._candidates(content, parity):
                for needle in self._by_key[word]:
                    if content.startswith(needle.content, place):
                        yield place, needle

    def _candidates(self, content: bytes, parity: int) -> Iterator[tuple[int, int]]:
        """Yield the even or odd offsets at which a needle's eight bytes stand, and these bytes as a number."""
        places_in_all = len(content) - KEY_BYTES + 1
        count = (places_in_all - parity + 1) // 2
        if count < 1:
            return
        halves = np.frombuffer(content, "<u2", count, self._anchor + parity)
        places = np.flatnonzero(self._first[halves]) * 2 + parity
        at_any_offset: NDArray[np.uint64] = np.ndarray((places_in_all,), "<u8", content, strides=(1,))
        words = at_any_offset[places]
        likely = self._second[self._half(words, 1)]
        places, words = places[likely], words[likely]
        nearest = np.minimum(np.searchsorted(self._keys, words), len(self._keys) - 1)
        exact = self._keys[nearest] == words
        yield from zip(places[exact].tolist(), words[exact].tolist(), strict=True)

    def _half(self, words: NDArray[np.uint64], number: int) -> NDArray[np.uint16]:
        shift = np.uint64(8 * self._anchor + 16 * number)
        return (words >> shift).astype(np.uint16)


def _runs(places: list[tuple[int, int]]) -> int:
    """Count the runs among (offset, position) in the order of offsets."""
    latest: dict[int, tuple[int, int]] = {}
    runs = 0
    for place, position in places:
        before, length = latest.get(position - 1, (place, 0))
        length = length + 1 if place - before <= RUN_GAP_BYTES else 1
        latest[position] = (place, length)
        runs += length == RUN_LENGTH
    return runs
