"""The encrypted file of a workspace: AES-256-GCM in chunks, so that a file of any size streams through.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): chunk number and a last-chunk flag stand in
the nonce, so that cutting, reordering and appending show; the key is the file's own by HKDF (RFC 5869) over a
random salt and the file's name, so that files cannot be exchanged either.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from io import BufferedReader, BufferedWriter
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"SOTERWS1"
SALT_BYTES = 16
CHUNK_BYTES = 1 << 16
TAG_BYTES = 16


class SealedFileError(ValueError):
    """A file that is cut short, was changed, or belongs to another query or name."""


class SealedWriter:
    """Writes one encrypted file; it has its name only after `commit`, and is gone when that never comes.

    `charge` is called with the bytes about to be used on disk, and raises when the quota is spent.
    """

    def __init__(self, path: Path, query_key: bytes | bytearray, charge: Callable[[int], None]) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
        self._charge = charge
        self._charged = 0
        self._buffer = bytearray()
        self._number = 0
        salt = secrets.token_bytes(SALT_BYTES)
        self._cipher = _cipher(query_key, salt, path.name)
        self._file: BufferedWriter | None = _create_private(self._partial)
        self._write(MAGIC + salt)

    def write(self, data: bytes) -> None:
        """Append plaintext."""
        self._buffer += data
        while len(self._buffer) > CHUNK_BYTES:
            self._seal(bytes(self._buffer[:CHUNK_BYTES]), last=False)
            del self._buffer[:CHUNK_BYTES]

    def commit(self) -> None:
        """Make the file durable under its name, replacing an older one."""
        self._seal(bytes(self._buffer), last=True)
        self._buffer.clear()
        file = self._open_file()
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._file = None
        replaced = self._path.stat().st_size if self._path.exists() else 0
        self._partial.replace(self._path)
        self._charge(-replaced)

    def abandon(self) -> None:
        """Drop what was written; harmless after `commit`."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._partial.unlink(missing_ok=True)
            self._charge(-self._charged)

    def __enter__(self) -> "SealedWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._write(self._cipher.encrypt(_nonce(self._number, last), chunk, None))
        self._number += 1

    def _write(self, data: bytes) -> None:
        self._charge(len(data))
        self._charged += len(data)
        self._open_file().write(data)

    def _open_file(self) -> BufferedWriter:
        if self._file is None:
            raise ValueError("this file is already closed")
        return self._file


def read_sealed(path: Path, query_key: bytes | bytearray) -> Iterator[bytes]:
    """Yield a file's plaintext in chunks; SealedFileError as soon as something is wrong, at the latest at the end.

    Use what was yielded only once the iterator has ended: a file that was cut short shows at its last chunk.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + SALT_BYTES)
        if len(start) != len(MAGIC) + SALT_BYTES or not start.startswith(MAGIC):
            raise SealedFileError(f"{path.name} is not a workspace file")
        cipher = _cipher(query_key, start[len(MAGIC) :], path.name)
        for number, (chunk, last) in enumerate(_chunks(file)):
            try:
                yield cipher.decrypt(_nonce(number, last), chunk, None)
            except InvalidTag as error:
                raise SealedFileError(
                    f"{path.name} was changed, cut short or sealed with another key"
                ) from error


def _chunks(file: BufferedReader) -> Iterator[tuple[bytes, bool]]:
    size = CHUNK_BYTES + TAG_BYTES
    chunk = file.read(size)
    while following := file.read(size):
        yield chunk, False
        chunk = following
    yield chunk, True


def _create_private(path: Path) -> BufferedWriter:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _cipher(query_key: bytes | bytearray, salt: bytes, name: str) -> AESGCM:
    info = b"SoterOne workspace file " + name.encode()
    return AESGCM(HKDF(SHA256(), 32, salt, info).derive(bytes(query_key)))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
