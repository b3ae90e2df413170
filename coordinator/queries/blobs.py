"""The result store: sealed bytes in files named by their keccak256. A file is whole or it is not there."""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from eth_utils import keccak

from coordinator.queries.errors import StoreFull
from soterone.domain.ids import Hash32, hash32

_COUNT_SECONDS = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BlobStore:
    """Sealed blobs under one directory, at most `limit_bytes` in all. The same bytes are kept once.

    Several processes may share the directory: each counts the files itself again every minute.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._writing = asyncio.Lock()
        self._used_bytes: int | None = None
        self._counted_at = 0.0

    async def put(self, data: bytes) -> Hash32:
        """Keep the bytes durably and return their hash; StoreFull leaves nothing behind. Idempotent."""
        name = hash32(keccak(data))
        async with self._writing:
            if not await asyncio.to_thread(self._path(name).exists):
                await self._check_room(len(data))
                await asyncio.to_thread(self._write, name, data)
                self._used_bytes = (self._used_bytes or 0) + len(data)
        return name

    async def get(self, name: str) -> bytes:
        """Return the bytes of a hash; FileNotFoundError when they are not kept, OSError when they are damaged."""
        data = await asyncio.to_thread(self._path(name).read_bytes)
        if hash32(keccak(data)) != name:
            raise OSError(f"stored blob {name} is damaged")
        return data

    async def delete(self, name: str) -> None:
        """Forget a blob; one that is not there is fine."""
        async with self._writing:
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)
            self._used_bytes = None

    async def keep_only(self, names: Collection[str], grace_seconds: float) -> int:
        """Forget blobs that are not among `names` and older than the grace; returns how many."""
        async with self._writing:
            forgotten = await asyncio.to_thread(self._forget_others, names, time.time() - grace_seconds)
            self._used_bytes = None if forgotten else self._used_bytes
        return forgotten

    def _forget_others(self, names: Collection[str], before: float) -> int:
        others = [path for path in self._files() if f"0x{path.stem}" not in names]
        forgotten = 0
        for path in others:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    forgotten += 1
        return forgotten

    def _path(self, name: str) -> Path:
        digest = hash32(name)[2:]
        return self._directory / digest[:2] / f"{digest}.sealed"

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("??/*.sealed"))

    def _count(self) -> int:
        used_bytes = 0
        for path in self._files():
            with suppress(FileNotFoundError):
                used_bytes += path.stat().st_size
        return used_bytes

    async def _check_room(self, size_bytes: int) -> None:
        if self._used_bytes is None or time.monotonic() - self._counted_at > _COUNT_SECONDS:
            self._used_bytes = await asyncio.to_thread(self._count)
            self._counted_at = time.monotonic()
        if self._used_bytes + size_bytes > self._limit_bytes:
            raise StoreFull("the coordinator's result store is full; nothing was kept, deliver again later")

    def _write(self, name: str, data: bytes) -> None:
        target = self._path(name)
        draft = target.parent / f".{secrets.token_hex(8)}.part"
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_durably(draft, data)
            draft.replace(target)
            _sync_directory(target.parent)
        except OSError as error:
            draft.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise StoreFull(
                    "the coordinator's disk is full; nothing was kept, deliver again later"
                ) from error
            raise


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
