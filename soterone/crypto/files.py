"""Files that hold secrets: made readable by their owner alone from the first byte on."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, durable before it returns; FileExistsError when it is there already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
