"""Doing something again when the database went away: only what was rolled back for sure, or does no harm twice."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from coordinator.database_errors import DatabaseAway

_PAUSES_SECONDS: Final = (0.05, 0.2, 0.5)
_HARMLESS_METHODS: Final = ("GET", "HEAD")

ValueT = TypeVar("ValueT")


async def persistently(work: Callable[[], Awaitable[ValueT]], *, harmless: bool) -> ValueT:
    """Return what `work` answers, doing it a few times while the database is away.

    What may have been committed is repeated only when it is `harmless`, that is, when twice is the same as once.
    DatabaseAway after the last try.
    """
    for pause in _PAUSES_SECONDS:
        try:
            return await work()
        except DatabaseAway as problem:
            if not (problem.rolled_back or harmless):
                raise
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the load, hides nothing
    return await work()


class PersistentRoute(APIRoute):
    """A route whose request is handled again when its transaction was rolled back; reads in any case."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that tries again."""
        handle = super().get_route_handler()

        async def handle_persistently(request: Request) -> Response:
            return await persistently(lambda: handle(request), harmless=request.method in _HARMLESS_METHODS)

        return handle_persistently
