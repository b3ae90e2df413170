"""The folders of queries: each with a key file of its own, which the cleanup destroys before anything else."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.errors import AgentError
from node_agent.workspace.sealed_file import SealedWriter, read_sealed
from soterone.crypto.files import write_private
from soterone.domain.ids import QueryId, query_id

KEY_FILE = "key"
KEY_BYTES = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}\Z")


class WorkspaceError(AgentError):
    """A workspace cannot be used; the text says what to do."""


class QuotaError(WorkspaceError):
    """A query would use more of this node's disk than it may."""


@dataclass(slots=True)
class Workspace:
    """What one query keeps at this node. After `destroy` nothing can be read, written or made again."""

    folder: Path
    scratch_folder: Path
    quota_bytes: int
    _key: bytearray = field(repr=False)
    used_bytes: int = 0

    def writer(self, name: str) -> SealedWriter:
        """Return a writer of the encrypted file `name`; QuotaError when it grows too large."""
        return SealedWriter(self._path(name), self._living_key(), self._charge)

    def write(self, name: str, content: bytes) -> None:
        """Keep `content` as the encrypted file `name`, durable on return."""
        with self.writer(name) as writer:
            writer.write(content)
            writer.commit()

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the plaintext of a file in chunks; SealedFileError when it was tampered with."""
        return read_sealed(self._path(name), self._living_key())

    def read(self, name: str) -> bytes:
        """Return the plaintext of a file; FileNotFoundError when there is none."""
        return b"".join(self.chunks(name))

    def has(self, name: str) -> bool:
        """Say whether a file of that name was committed."""
        return self._path(name).is_file()

    def names(self) -> list[str]:
        """Return the names of the committed files."""
        return sorted(path.stem for path in self.folder.glob("*.sealed"))

    def remove(self, name: str) -> None:
        """Delete a file; harmless when there is none."""
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            size_bytes = path.stat().st_size
            path.unlink()
            self._charge(-size_bytes)

    def scratch(self, name: str) -> Path:
        """Return a new, empty directory on tmpfs, readable by this user alone; an older one of that name goes."""
        self._living_key()
        path = self.scratch_folder / self._checked(name)
        shutil.rmtree(path, ignore_errors=True)
        for folder in (self.scratch_folder.parent, self.scratch_folder, path):
            _own_folder(folder)
        return path

    def expose(self, name: str, destination: Path) -> None:
        """Write a file's plaintext to `destination` on tmpfs, which appears whole or not at all."""
        partial = destination.with_name(f"{destination.name}.part")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for chunk in self.chunks(name):
                file.write(chunk)
        partial.replace(destination)

    def drop_scratch(self) -> None:
        """Remove all plaintext."""
        shutil.rmtree(self.scratch_folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.scratch_folder.parent.rmdir()

    def destroy(self) -> None:
        """Overwrite, sync and unlink the key, then delete the rest. Idempotent, and safe to be killed in."""
        self._key[:] = bytes(len(self._key))
        self._key.clear()
        self.drop_scratch()
        destroy_folder(self.folder)

    def _living_key(self) -> bytearray:
        if not self._key:
            raise WorkspaceError("this workspace has been destroyed")
        return self._key

    def _charge(self, size_bytes: int) -> None:
        if size_bytes > 0 and self.used_bytes + size_bytes > self.quota_bytes:
            raise QuotaError(
                f"a query may keep {self.quota_bytes} bytes at this node, and this one needs more"
            )
        self.used_bytes += size_bytes

    def _path(self, name: str) -> Path:
        return self.folder / f"{self._checked(name)}.sealed"

    @staticmethod
    def _checked(name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is not a name of a workspace file")
        return name


@dataclass(frozen=True, slots=True)
class Workspaces:
    """All workspaces of one agent: `root` on its disk, `scratch_root` on tmpfs, both of this agent alone."""

    root: Path
    scratch_root: Path
    quota_bytes: int

    @classmethod
    def under(cls, data_folder: Path, quota_bytes: int, tmpfs: Path = Path("/dev/shm")) -> "Workspaces":  # noqa: S108
        """Return the workspaces of the agent that owns a data folder; WorkspaceError when there is no tmpfs."""
        if not _is_memory(tmpfs):
            raise WorkspaceError(
                f"{tmpfs} is not a tmpfs: mount one there, so that plaintext never reaches a disk"
            )
        root = data_folder.resolve() / "workspaces"
        mark = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        return cls(root, tmpfs / f"soterone-{mark}", quota_bytes)

    def open(self, query: QueryId) -> Workspace:
        """Return a query's workspace, made when it is new."""
        folder = self.root / query[2:]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            write_private(folder / KEY_FILE, secrets.token_bytes(KEY_BYTES))
        key = bytearray((folder / KEY_FILE).read_bytes())
        if len(key) != KEY_BYTES:
            raise WorkspaceError(f"the key of the workspace {folder} is damaged: its content is lost")
        used = sum(map(_size_bytes, folder.iterdir()))
        return Workspace(folder, self.scratch_root / query[2:], self.quota_bytes, key, used)

    def ids(self) -> list[QueryId]:
        """Return the queries that have a workspace."""
        return [query_id(path.name) for path in self._folders()]

    def remove_orphans(self, living: set[QueryId]) -> list[QueryId]:
        """Destroy the workspaces of other queries and all plaintext; for the start of the agent alone."""
        shutil.rmtree(self.scratch_root, ignore_errors=True)
        orphans = [query for query in self.ids() if query not in living]
        for query in orphans:
            destroy_folder(self.root / query[2:])
        return orphans

    def _folders(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return [path for path in sorted(self.root.iterdir()) if re.fullmatch(r"[0-9a-f]{64}", path.name)]


def destroy_folder(folder: Path) -> None:
    """Destroy a workspace's folder, its key first; harmless when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        _shred(folder / KEY_FILE)
        _sync(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise WorkspaceError(f"the workspace {folder} cannot be removed: check who owns it")
    if folder.parent.is_dir():
        _sync(folder.parent)


def _size_bytes(file: Path) -> int:
    """Return a file's size; 0 when it has just been abandoned."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _own_folder(folder: Path) -> None:
    """Make a folder that nobody else may enter; WorkspaceError when somebody else has put one there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise WorkspaceError(f"{folder} belongs to somebody else or is open to others: remove it")


def _shred(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        os.fsync(file.fileno())
    path.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_memory(path: Path) -> bool:
    with contextlib.suppress(OSError):
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        return any(mount[1] == str(path) and mount[2] in ("tmpfs", "ramfs") for mount in mounts)
    return False
