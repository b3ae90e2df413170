"""What a node declares, and what the registry keeps of it."""

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from soterone.domain.ids import hash32
from soterone.domain.profiles import commitment_of

HASHES = st.binary(min_size=32, max_size=32)


@given(HASHES, HASHES, st.integers(0, 2**32 - 1))
def test_the_commitment_is_the_contracts(tls_key_hash: bytes, profile_hash: bytes, version: int) -> None:
    opened = encode(["bytes32", "bytes32", "uint32"], [tls_key_hash, profile_hash, version])
    assert commitment_of(hash32(tls_key_hash), hash32(profile_hash), version) == hash32(keccak(opened))
