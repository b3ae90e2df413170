"""SQLite serves one process: the lock beside its file says which."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from coordinator.settings import Settings, SettingsError


@contextmanager
def sole_process(settings: Settings) -> Iterator[None]:
    """Be the only process on a SQLite file for the length of a block; on PostgreSQL there may be any number.

    SettingsError when another process holds the file. The lock ends with the process, however that ends.
    """
    if settings.many_processes:
        yield
        return
    database = make_url(settings.database).database
    with Path(f"{database}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another soter-coordinator process runs on {database}, and SQLite serves one process; stop it, "
                "or give the coordinator a PostgreSQL (--database-url) to run several"
            ) from None
        yield
