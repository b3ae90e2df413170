"""Between SPU's shares and plain pairs of 64-bit numbers. Only arithmetic ABY3 shares over 64 bits are taken."""

import numpy as np
import spu
from numpy.typing import NDArray
from spu import libspu

from soterone.domain.share_file import FRACTION_BITS, Pairs

ARITHMETIC = "aby3.AShr<FM64>"
MPC_NODES = 3


def runtime_config() -> libspu.RuntimeConfig:
    """Return the one configuration of shares and computation."""
    return libspu.RuntimeConfig(
        protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64, fxp_fraction_bits=FRACTION_BITS
    )


def make_pairs(values: NDArray[np.float64]) -> list[Pairs]:
    """Share values among three nodes; returns the pairs of each rank, shape `values.shape + (2,)`."""
    io = spu.Io(MPC_NODES, runtime_config())
    shares = io.make_shares(np.ascontiguousarray(values), libspu.Visibility.VIS_SECRET)
    return [to_pairs(share) for share in shares]


def to_pairs(share: libspu.Share) -> Pairs:
    """Return the pairs inside one rank's share; ValueError for any but an arithmetic one over 64 bits."""
    meta = libspu.ValueMeta()
    meta.ParseFromString(share.meta)
    if meta.storage_type != ARITHMETIC or meta.visibility != libspu.Visibility.VIS_SECRET:
        raise ValueError("not an arithmetic secret share over 64 bits")
    content = b"".join(_chunk_content(chunk) for chunk in share.share_chunks)
    return np.frombuffer(content, dtype="<u8").reshape(*meta.shape.dims, 2)


def _chunk_content(chunk: bytes) -> bytes:
    parsed = libspu.ValueChunk()
    parsed.ParseFromString(chunk)
    return bytes(parsed.content)


def to_share(pairs: Pairs) -> libspu.Share:
    """Return one rank's share of a fixed-point array, as SPU takes it."""
    meta, chunk, share = libspu.ValueMeta(), libspu.ValueChunk(), libspu.Share()
    meta.data_type, meta.visibility = libspu.DataType.DT_F32, libspu.Visibility.VIS_SECRET
    meta.storage_type, meta.shape = ARITHMETIC, list(pairs.shape[:-1])
    content = np.ascontiguousarray(pairs, dtype="<u8").tobytes()
    chunk.total_bytes, chunk.chunk_offset, chunk.content = len(content), 0, content
    share.meta, share.share_chunks = meta.SerializeToString(), [chunk.SerializeToString()]
    return share
