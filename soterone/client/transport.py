"""HTTPS to a coordinator: typed bodies in and out, every failure an error with a sentence."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from soterone.client.errors import ClientError, Refused, Unreachable

Reply = TypeVar("Reply", bound=BaseModel)

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class Transport:
    """One connection pool to one coordinator. `token` is sent once it is set."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        if not url.startswith("https://"):
            raise ClientError(f"the coordinator's address must begin with https://, not {url!r}")
        try:
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        except OSError as error:
            raise ClientError(f"the certificate file {ca_file} cannot be read: {error.strerror}") from error
        self.url = url.rstrip("/")
        self.token: str | None = None
        self._http = httpx.Client(base_url=f"{self.url}/v1/", verify=context, timeout=_TIMEOUT)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def get(self, path: str, reply: type[Reply], **parameters: Any) -> Reply:
        """Ask for a body of type `reply`; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._call("GET", path, reply, params=given)

    def post(
        self, path: str, body: BaseModel, reply: type[Reply], timeout_seconds: float | None = None
    ) -> Reply:
        """Send a body and return the reply; the time-out replaces the usual 30 s."""
        timeout = _TIMEOUT if timeout_seconds is None else httpx.Timeout(timeout_seconds, connect=5.0)
        return self._call("POST", path, reply, json=body.model_dump(mode="json"), timeout=timeout)

    def delete(self, path: str) -> None:
        """Delete what stands at a path."""
        with self._reached():
            _raise_refusal(self._http.delete(path, headers=self._headers()))

    def stream(self, path: str, last_event_id: int | None) -> Iterator[tuple[int | None, str]]:
        """Yield (id, data) of each server-sent event until the server ends the stream or falls silent for 45 s."""
        headers = {**self._headers(), "Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        timeout = httpx.Timeout(45.0, connect=5.0)
        with self._reached(), self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
                _raise_refusal(response)
            yield from _events(response.iter_lines())

    def _call(self, method: str, path: str, reply: type[Reply], **options: Any) -> Reply:
        with self._reached():
            response = self._http.request(method, path, headers=self._headers(), **options)
        _raise_refusal(response)
        try:
            return reply.model_validate_json(response.content)
        except ValidationError as error:
            raise ClientError(
                f"the coordinator's answer to {path} does not parse; is it another version?"
            ) from error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"the coordinator at {self.url} does not answer ({reason}); try again later"
            ) from error


def _raise_refusal(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        problem = response.json()
        title, detail = str(problem["title"]), str(problem["detail"])
    except (json.JSONDecodeError, KeyError, TypeError):
        title, detail = response.reason_phrase, f"the coordinator answered {response.status_code}"
    raise Refused(response.status_code, title, detail)


def _events(lines: Iterator[str]) -> Iterator[tuple[int | None, str]]:
    identifier: int | None = None
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("id:"):
            identifier = int(line[3:])
        elif not line and data:
            yield identifier, "\n".join(data)
            data = []
