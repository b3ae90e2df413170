"""The memory of running processes, read through /proc (proc(5)) while they stand still."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STOP_SECONDS = 5.0
KERNEL_MAPPINGS = ("[vvar]", "[vvar_vclock]", "[vsyscall]", "[vdso]")
HELD = np.uint64(0b11 << 62)
"""Bits of /proc/PID/pagemap: the page is in memory, or in swap."""


@dataclass(frozen=True, slots=True)
class Dump:
    """What a process held: all its pages one after another, a gap of zeros wherever addresses jump."""

    name: str
    content: bytes = field(repr=False)


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stop processes for the length of a block; keep it well below the engines' silence limit of 15 s."""
    stopped = [pid for pid in pids if _signal(pid, signal.SIGSTOP)]
    try:
        deadline = time.monotonic() + STOP_SECONDS
        while any(psutil.Process(pid).status() != psutil.STATUS_STOPPED for pid in stopped):
            if time.monotonic() > deadline:
                raise TimeoutError("a process did not stop")
            time.sleep(0.001)
        yield
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)


def dump(name: str, pid: int) -> Dump:
    """Read heap, stacks, shared memory and all else that a process could have written to or mapped privately.

    Left out: pages that were never touched, and files mapped read-only, as programs and libraries are. Raises
    PermissionError when this user may not look, and ProcessLookupError when the process has ended.
    """
    parts: list[bytes] = []
    gap = bytes(64)
    folder = Path("/proc") / str(pid)
    try:
        with (folder / "mem").open("rb", 0) as memory, (folder / "pagemap").open("rb", 0) as pagemap:
            for start, end in _mappings((folder / "maps").read_text()):
                pagemap.seek(start // PAGE_BYTES * 8)
                pages = np.frombuffer(pagemap.read((end - start) // PAGE_BYTES * 8), "<u8")
                for first, last in _runs((pages & HELD) != 0):
                    memory.seek(start + first * PAGE_BYTES)
                    parts += (memory.read((last - first) * PAGE_BYTES), gap)
    except FileNotFoundError as error:
        raise ProcessLookupError(f"{name} ended before its memory was read") from error
    if not parts:
        raise ProcessLookupError(f"{name} has no memory left: it is ending")
    return Dump(name, b"".join(parts))


def _mappings(maps: str) -> Iterator[tuple[int, int]]:
    for line in maps.splitlines():
        addresses, rights, _, _, inode, *path = line.split(maxsplit=5)
        program = inode != "0" and "w" not in rights
        if rights.startswith("r") and not program and (not path or path[0] not in KERNEL_MAPPINGS):
            start, end = addresses.split("-")
            yield int(start, 16), int(end, 16)


def _runs(held: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Sequence[tuple[int, int]]:
    """Return (first, end) of each run of pages that are held."""
    edges = np.flatnonzero(np.diff(held.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _signal(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
