"""Commitments to a table's rows: a Merkle tree over salted rows, of which single rows can be opened in a dispute. Pure.

The tree is that of RFC 6962 (section 2.1) with SHA-256. Leaf 0 is the header, leaf i row i. Each row has a salt of its
own, so that neither the root nor the proof of one row lets anybody try out another.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rfc8785

SALT_BYTES = 32
_LEAF, _NODE = b"\0", b"\1"


@dataclass(frozen=True, slots=True)
class Opening:
    """One opened row: its place, salt and values as committed to, and the hashes from its leaf to the root."""

    place: int
    leaves: int
    salt: bytes
    values: tuple[str | None, ...]
    path: tuple[bytes, ...]

    def root(self) -> bytes:
        """Return the 32-byte root that this row stands under; ValueError when place and path do not fit."""
        if not 0 <= self.place < self.leaves:
            raise ValueError(f"there is no leaf {self.place} among {self.leaves}")
        return _root_of(self.place, self.leaves, leaf_hash(self.salt, self.values), self.path)


def row_salt(table_salt: bytes, place: int) -> bytes:
    """Return the salt of one row: HMAC-SHA256 of its place under the table's secret salt of 32 bytes."""
    return hmac.digest(table_salt, place.to_bytes(8), "sha256")


def leaf_hash(salt: bytes, values: Sequence[str | None]) -> bytes:
    """Return the leaf of a row. Values are text, None where the table has none; canonical JSON (RFC 8785)."""
    return hashlib.sha256(_LEAF + salt + rfc8785.dumps(list(values))).digest()


def leaves_of(rows: Iterable[Sequence[str | None]], table_salt: bytes) -> list[bytes]:
    """Return the leaves of a table, the header first; a table is its header and its rows in order."""
    return [leaf_hash(row_salt(table_salt, place), values) for place, values in enumerate(rows)]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over at least one leaf; ValueError without any."""
    if not leaves:
        raise ValueError("a table has a header at least")
    level = list(leaves)
    while len(level) > 1:
        paired = [_parent(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = [*paired, level[-1]] if len(level) % 2 else paired
    return level[0]


def open_row(
    rows: Sequence[Sequence[str | None]], leaves: Sequence[bytes], table_salt: bytes, place: int
) -> Opening:
    """Open one row of a table whose leaves are given; IndexError when there is no such place."""
    path: list[bytes] = []
    level, at = list(leaves), place
    while len(level) > 1:
        if at ^ 1 < len(level):
            path.append(level[at ^ 1])
        paired = [_parent(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level, at = ([*paired, level[-1]] if len(level) % 2 else paired), at // 2
    return Opening(place, len(leaves), row_salt(table_salt, place), tuple(rows[place]), tuple(path))


def _root_of(place: int, leaves: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    found, left = leaf, list(path)
    while leaves > 1:
        if place ^ 1 < leaves:
            if not left:
                raise ValueError("the path is too short")
            other = left.pop(0)
            found = _parent(other, found) if place & 1 else _parent(found, other)
        place, leaves = place // 2, (leaves + 1) // 2
    if left:
        raise ValueError("the path is too long")
    return found


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
