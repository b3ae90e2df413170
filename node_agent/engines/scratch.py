"""A directory for what a library wants on disk: private, in memory, gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from node_agent.engines.base import EngineError
from soterone.domain.failures import FailureReason

IN_MEMORY = ("tmpfs", "ramfs")


@contextmanager
def private_scratch(path: Path) -> Iterator[Path]:
    """Make `path` with mode 0700, let libraries put temporary files there, and remove it whatever happens.

    EngineError unless it lies on tmpfs, as what is written there must never reach a disk.
    """
    require_memory(path.parent)
    path.mkdir(mode=0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = str(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def require_memory(directory: Path) -> None:
    """Raise EngineError unless the directory lies on tmpfs."""
    if _file_system(directory) not in IN_MEMORY:
        sentence = (
            "The engine's working directory must be in memory: the operator must put it on tmpfs (/dev/shm)."
        )
        raise EngineError(FailureReason.ENGINE_ERROR, sentence)


def _file_system(path: Path) -> str:
    resolved = path.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if resolved.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
