"""The file in which secret shares travel and rest: one MPC node's part of an owner's columns or of a model.

A file is the magic, the header's length (4 bytes, little-endian), the header (JSON, UTF-8), then each array as
pairs of little-endian 64-bit numbers. In ABY3 (Mohassel & Rindal 2018) x = x_0 + x_1 + x_2 mod 2^64, and the node
of rank i holds the pair (x_i, x_(i+1)); a number is fixed point with `fraction_bits` bits behind the point.
"""

import json
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soterone.domain.spec import ColumnName

MAGIC = b"SOTERSH1"
FRACTION_BITS = 18
HEADER_BYTES_LIMIT = 1 << 20
PAIR_BYTES = 16
METRICS = ("auc", "accuracy", "log_loss")
"""The held-out metrics beside the weights `w` and the bias `b` in a result."""

Pairs = NDArray[np.uint64]
"""An array of share pairs: the array's own shape and a last axis of two."""

Text = Annotated[str, Field(max_length=128)]
Count = Annotated[int, Field(ge=0, lt=2**40)]


class ShareFileError(ValueError):
    """Bytes that are no share file; the text says what is wrong, never what is inside."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnerColumns(_Part):
    """The feature columns of one owner, in the order of the weights."""

    account: Text
    columns: tuple[ColumnName, ...]


class ArrayHeader(_Part):
    name: Text
    shape: Annotated[tuple[Count, ...], Field(max_length=4)]


class ShareHeader(_Part):
    """What a share file says in the clear. `owners` are in the order of the columns, the label's first.

    `lender` is the rank of the node that lends this part of its checkpoint to the node of `rank`; None elsewhere.
    """

    kind: Literal["owner", "checkpoint", "part", "result"]
    query_id: Text
    generation: Count
    attempt: Count
    rank: Literal[0, 1, 2]
    owners: tuple[OwnerColumns, ...]
    training_rows: Count
    holdout_rows: Count
    epoch: Count = 0
    fraction_bits: Literal[18] = 18
    lender: Literal[0, 1, 2] | None = None


class _WholeHeader(ShareHeader):
    arrays: tuple[ArrayHeader, ...]


@dataclass(frozen=True, slots=True)
class ShareFile:
    """A header and its arrays of pairs by name."""

    header: ShareHeader
    arrays: dict[str, Pairs]

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        arrays = tuple(ArrayHeader(name=name, shape=a.shape[:-1]) for name, a in self.arrays.items())
        whole = _WholeHeader(**self.header.model_dump(), arrays=arrays)
        text = json.dumps(whole.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
        body = (np.ascontiguousarray(a, dtype="<u8").tobytes() for a in self.arrays.values())
        return b"".join((MAGIC, len(text).to_bytes(4, "little"), text, *body))

    @classmethod
    def from_bytes(cls, content: bytes) -> "ShareFile":
        """Read a share file; ShareFileError unless every byte is accounted for."""
        start = len(MAGIC) + 4
        if content[: len(MAGIC)] != MAGIC or len(content) < start:
            raise ShareFileError("This is not a share file: it does not begin as one.")
        body = start + int.from_bytes(content[len(MAGIC) : start], "little")
        if body > min(len(content), HEADER_BYTES_LIMIT):
            raise ShareFileError("The share file's header is cut short or too long.")
        try:
            whole = _WholeHeader.model_validate_json(content[start:body])
        except ValidationError as error:
            raise ShareFileError("The share file's header has not the fields it must have.") from error
        header = ShareHeader(**whole.model_dump(exclude={"arrays"}))
        return cls(header, _read_arrays(whole.arrays, memoryview(content)[body:]))


def _read_arrays(headers: tuple[ArrayHeader, ...], body: memoryview) -> dict[str, Pairs]:
    sizes = [math.prod(header.shape) * PAIR_BYTES for header in headers]
    if sum(sizes) != len(body) or len({header.name for header in headers}) != len(headers):
        raise ShareFileError("The share file's length does not fit its header.")
    arrays: dict[str, Pairs] = {}
    offset = 0
    for header, size in zip(headers, sizes, strict=True):
        flat = np.frombuffer(body[offset : offset + size], dtype="<u8")
        arrays[header.name] = flat.reshape(*header.shape, 2)
        offset += size
    return arrays
