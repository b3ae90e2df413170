"""Refusals over HTTP: problem details (RFC 9457) for whatever goes wrong, and their place in the OpenAPI document."""

from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from coordinator.errors import ANSWERS, CoordinatorError, Malformed, answer_to, as_refusal
from soterone.chain.errors import ChainError
from soterone.domain.spec import complaint
from soterone.rest.base import Problem

_log = structlog.get_logger()
_MEDIA_TYPE: Final = "application/problem+json"
_TITLES: Final = {answer.status: answer.title for answer in ANSWERS.values()} | {
    405: "Method not allowed",
    408: "Too slow",
    500: "Internal error",
}


def problem(
    status: int, detail: str, instance: str, retry_after_seconds: float | None = None
) -> JSONResponse:
    """Return a problem body with its status."""
    title = _TITLES.get(status, "Refused")
    body = Problem(title=title, status=status, detail=detail, instance=instance)
    headers = {"Retry-After": str(max(1, round(retry_after_seconds)))} if retry_after_seconds else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body.model_dump(), status, headers, media_type=_MEDIA_TYPE)


def refusal(error: CoordinatorError, instance: str) -> JSONResponse:
    """Return the problem of a refusal."""
    return problem(answer_to(error).status, error.sentence, instance, error.retry_after_seconds)


def install(app: FastAPI) -> None:
    """Make every error of the application answer as a problem."""
    app.add_exception_handler(Exception, _any)
    app.add_exception_handler(CoordinatorError, _any)
    app.add_exception_handler(ChainError, _any)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unreadable)


def responses(*kinds: type[CoordinatorError]) -> dict[int | str, dict[str, Any]]:
    """Return what a route's OpenAPI entry says of these refusals."""
    described: dict[int | str, dict[str, Any]] = {}
    for kind in (*kinds, Malformed):
        answer = ANSWERS[kind]
        example = {"type": "about:blank", "title": answer.title, "status": answer.status}
        example["detail"] = (kind.__doc__ or "").strip().splitlines()[0]
        described[answer.status] = {
            "description": answer.title,
            "model": Problem,
            "content": {_MEDIA_TYPE: {"example": example}},
        }
    return described


async def _any(request: Request, error: Exception) -> JSONResponse:
    known = as_refusal(error)
    if known is not None:
        return refusal(known, request.url.path)
    _log.error("request_failed", route=_route(request), exc_info=error)
    return problem(500, "internal error", request.url.path)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    if error.status_code == 400:
        return refusal(Malformed("the body is not JSON, or nested too deeply"), request.url.path)
    detail = "there is nothing under this address" if error.status_code == 404 else str(error.detail)
    return problem(error.status_code, detail, request.url.path)


async def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path")) or "body"
    return refusal(Malformed(f"{where}: {complaint(first)}"), request.url.path)


def _route(request: Request) -> str:
    route = request.scope.get("route")
    return getattr(route, "path", "none")
