"""Who may call what, on whose things: one table over every REST route and RPC. What is not in it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Caller(StrEnum):
    """Who must be calling."""

    ANYBODY = "anybody"
    SIGNED_IN = "signed in"
    NODE = "node"
    DATA_OWNER = "data owner"
    DETECTOR = "detector"


class Reach(StrEnum):
    """On whose things the call works. Other people's things do not exist for the caller (404, NOT_FOUND)."""

    PUBLIC = "public"
    OWN = "own"
    TAKES_PART = "takes part"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. `retired`: a suspended node, or one on its way out, may still call it."""

    caller: Caller
    reach: Reach
    retired: bool = False


_PUBLIC = Rule(Caller.ANYBODY, Reach.PUBLIC)
_CUSTOMER = Rule(Caller.SIGNED_IN, Reach.OWN)
_NODE = Rule(Caller.NODE, Reach.OWN)
_PARTICIPANT = Rule(Caller.NODE, Reach.TAKES_PART)
_OWNER = Rule(Caller.DATA_OWNER, Reach.OWN)

RULES: Final[Mapping[str, Rule]] = {
    "GET /healthz": _PUBLIC,
    "GET /readyz": _PUBLIC,
    "GET /metrics": _PUBLIC,
    "GET /openapi.json": _PUBLIC,
    "GET /v1/network": _PUBLIC,
    "POST /v1/auth/nonce": _PUBLIC,
    "POST /v1/auth/verify": _PUBLIC,
    "GET /v1/catalog/datasets": _PUBLIC,
    "GET /v1/catalog/nodes": _PUBLIC,
    "GET /v1/reputation/{account}": _PUBLIC,
    "GET /v1/reputation/{account}/claims": _PUBLIC,
    "DELETE /v1/account": _CUSTOMER,
    "POST /v1/queries/proposals": _CUSTOMER,
    "POST /v1/queries": _CUSTOMER,
    "GET /v1/queries": _CUSTOMER,
    "GET /v1/queries/{query_id}": _CUSTOMER,
    "GET /v1/queries/{query_id}/events": _CUSTOMER,
    "GET /v1/queries/{query_id}/result": _CUSTOMER,
    "POST /v1/queries/{query_id}/cancel": _CUSTOMER,
    "POST /v1/queries/{query_id}/feedback": _CUSTOMER,
    "/soterone.v1.Enrolment/Register": _PUBLIC,
    "/soterone.v1.Agents/Connect": _NODE,
    "/soterone.v1.Agents/PublishDataset": _OWNER,
    "/soterone.v1.Agents/WithdrawDataset": _OWNER,
    "/soterone.v1.Agents/GetSession": _PARTICIPANT,
    "/soterone.v1.Agents/ReportProgress": _PARTICIPANT,
    "/soterone.v1.Agents/ReportFailure": _PARTICIPANT,
    "/soterone.v1.Agents/ReportLoss": _PARTICIPANT,
    "/soterone.v1.Agents/DeliverResult": _PARTICIPANT,
    "/soterone.v1.Agents/AcknowledgeCleanup": Rule(Caller.NODE, Reach.TAKES_PART, retired=True),
    "/soterone.v1.Agents/RelayToQuorum": Rule(Caller.NODE, Reach.OWN, retired=True),
    "/soterone.v1.Agents/DescribeNodes": Rule(Caller.DETECTOR, Reach.PUBLIC),
    "/soterone.v1.Agents/Unregister": Rule(Caller.NODE, Reach.OWN, retired=True),
}


def rule_for(method: str) -> Rule | None:
    """Return the rule of `METHOD /route/{template}` or `/package.Service/Method`; None refuses."""
    return RULES.get(method)
