"""The one base of every REST body, and the text forms that go over the wire."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

AccountText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
HashText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
HexText = Annotated[str, StringConstraints(pattern=r"^0x([0-9a-fA-F]{2})*$", max_length=16_384)]


class Body(BaseModel):
    """A JSON body: unknown fields are refused, nothing changes after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(BaseModel):
    """A refusal (RFC 9457). `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = None
