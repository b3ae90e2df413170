"""When the database is away, and whether what was under way may be done again."""

from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from coordinator.errors import Unavailable

_GAVE_WAY = ("40001", "40P01", "55P03")
"""Serialisation failure, deadlock, a lock that was not granted in time: the transaction is gone as a whole."""

_AWAY = ("08", "57P", "53300", "25P03")
"""Connection lost or refused, shut down, no connection left, idle for too long inside a transaction."""


class BadDatabaseUrl(ValueError):
    """The database's URL cannot be used."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            "the database's URL is sqlite+aiosqlite:///FILE or "
            f"postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE; {problem}"
        )


@dataclass
class DatabaseAway(Unavailable):
    """The database could not finish a transaction. With `rolled_back` nothing of it was done and it may be run
    again; otherwise the connection was lost while it committed, and nobody knows."""

    rolled_back: bool

    retry_after_seconds = 1.0

    @property
    def sentence(self) -> str:
        """What to do."""
        if self.rolled_back:
            return "the coordinator's database is away just now and nothing was done; try again in a second"
        return "the coordinator's database went away meanwhile; look whether it was done before you repeat it"


def away(error: DBAPIError, *, rolled_back: bool) -> DatabaseAway | None:
    """Return what an error of the driver means when the database is away or chose to give way, None otherwise."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state.startswith(_GAVE_WAY):
        return DatabaseAway(True)
    if error.connection_invalidated or state.startswith(_AWAY) or _is_refused(error, state):
        return DatabaseAway(rolled_back)
    return None


def raise_away(error: DBAPIError, *, rolled_back: bool) -> None:
    """DatabaseAway when that is what the error means."""
    problem = away(error, rolled_back=rolled_back)
    if problem is not None:
        raise problem from error


def _is_refused(error: DBAPIError, state: str) -> bool:
    """psycopg gives no SQLSTATE when there is no server to give one; SQLite says only in words that it is locked."""
    module = type(error.orig).__module__.partition(".")[0]
    if module == "psycopg":
        return not state and type(error.orig).__name__ == "OperationalError"
    return "database is locked" in str(error.orig)
