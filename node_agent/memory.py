"""Memory that was freed goes back to the system at once: glibc keeps blocks of megabytes once it has seen some go."""

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_BLOCK_BYTES: Final = 2**20


def give_back_at_once() -> None:
    """Have every block of a mebibyte or more mapped by itself (mallopt(3)); where there is no glibc nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
