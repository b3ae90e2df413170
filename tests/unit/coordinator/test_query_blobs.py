"""The result store: whole blobs under their hashes, bounded, and nothing else."""

from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from coordinator.queries.blobs import BlobStore
from coordinator.queries.errors import StoreFull
from soterone.domain.ids import hash32


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_bytes_come_back_under_their_hash(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 1000)
    name = await store.put(b"sealed")
    assert name == hash32(keccak(b"sealed"))
    assert await store.put(b"sealed") == name
    assert await store.get(name) == b"sealed"
    (path,) = files(tmp_path)
    assert path.stat().st_mode & 0o077 == 0


async def test_a_full_store_keeps_nothing_and_has_room_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 10)
    name = await store.put(b"12345678")
    with pytest.raises(StoreFull):
        await store.put(b"abc")
    assert len(files(tmp_path)) == 1
    assert await store.put(b"12345678") == name
    await store.delete(name)
    await store.delete(name)
    assert await store.put(b"abc")


async def test_what_was_there_counts_after_a_restart(tmp_path: Path) -> None:
    await BlobStore(tmp_path, 10).put(b"12345678")
    with pytest.raises(StoreFull):
        await BlobStore(tmp_path, 10).put(b"abc")


async def test_damage_and_absence_are_noticed(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 1000)
    name = await store.put(b"sealed")
    files(tmp_path)[0].write_bytes(b"broken")
    with pytest.raises(OSError, match="damaged"):
        await store.get(name)
    with pytest.raises(FileNotFoundError):
        await store.get(hash32(b"n" * 32))
    with pytest.raises(ValueError, match="32 bytes"):
        await store.get("../../etc/passwd")


async def test_only_named_and_fresh_blobs_stay(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, 1000)
    kept, orphan = await store.put(b"kept"), await store.put(b"orphan")
    assert await store.keep_only({kept}, grace_seconds=60) == 0
    assert await store.keep_only({kept}, grace_seconds=-1) == 1
    assert await store.get(kept) == b"kept"
    with pytest.raises(FileNotFoundError):
        await store.get(orphan)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "0x" + "../" * 21 + "a", "0x" + "a" * 63 + "\n", "", "0x"]
)
async def test_only_a_hash_names_a_blob(tmp_path: Path, name: str) -> None:
    store = BlobStore(tmp_path / "blobs", 10)
    with pytest.raises(ValueError, match="32 bytes"):
        await store.get(name)
    with pytest.raises(ValueError, match="32 bytes"):
        await store.delete(name)
