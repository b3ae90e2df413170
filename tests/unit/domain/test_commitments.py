"""Commitments to rows: what opens, what does not, and that the tree is the one of RFC 6962."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soterone.domain.commitments import leaf_hash, leaves_of, open_row, root_of, row_salt

SALT = b"s" * 32
values = st.tuples(st.text("ab", max_size=2) | st.none(), st.text("ab", max_size=2) | st.none())
tables = st.lists(values, min_size=1, max_size=20)


def rfc_6962(leaves: list[bytes]) -> bytes:
    """The recursive definition of section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\1" + rfc_6962(leaves[:half]) + rfc_6962(leaves[half:])).digest()


@settings(deadline=None)
@given(tables)
def test_the_tree_is_that_of_rfc_6962(rows: list[tuple[str | None, str | None]]) -> None:
    leaves = leaves_of(rows, SALT)
    assert root_of(leaves) == rfc_6962(leaves)


@settings(deadline=None)
@given(tables, st.data())
def test_every_row_opens_to_the_root(rows: list[tuple[str | None, str | None]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    leaves = leaves_of(rows, SALT)
    assert open_row(rows, leaves, SALT, place).root() == root_of(leaves)


@settings(deadline=None)
@given(tables, st.data(), values)
def test_another_row_never_opens(
    rows: list[tuple[str | None, str | None]], data: st.DataObject, other: tuple[str | None, str | None]
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    leaves = leaves_of(rows, SALT)
    forged = replace(open_row(rows, leaves, SALT, place), values=other)
    assert (forged.root() == root_of(leaves)) == (other == rows[place])


def test_a_row_does_not_open_elsewhere_nor_with_another_path() -> None:
    rows = [(str(number),) for number in range(7)]
    leaves = leaves_of(rows, SALT)
    opened = open_row(rows, leaves, SALT, 3)
    assert replace(opened, place=2).root() != root_of(leaves)
    for wrong in (
        replace(opened, path=opened.path[:-1]),
        replace(opened, path=(*opened.path, bytes(32))),
        replace(opened, place=7),
    ):
        with pytest.raises(ValueError):
            wrong.root()


def test_equal_rows_look_different_and_missing_is_not_empty() -> None:
    first, second = leaves_of([("a",), ("a",)], SALT)
    assert first != second
    assert leaf_hash(SALT, (None,)) != leaf_hash(SALT, ("",))
    assert leaf_hash(SALT, ("a,b",)) != leaf_hash(SALT, ("a", "b"))
    assert row_salt(SALT, 0) != row_salt(b"t" * 32, 0)


def test_a_table_without_a_header_has_no_root() -> None:
    with pytest.raises(ValueError, match="header"):
        root_of([])
