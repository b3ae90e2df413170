"""Applies the table of permissions to REST: one dependency over the whole application, and who the caller is."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from coordinator.accounts import service as accounts
from coordinator.accounts.errors import NotSignedIn
from coordinator.context import Ctx
from coordinator.errors import Forbidden
from coordinator.permissions import Caller, rule_for
from soterone.domain.ids import Account

_BEARER = HTTPBearer(auto_error=False, description="The token of POST /v1/auth/verify.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


async def authorise(request: Request, context: Ctx) -> None:
    """Refuse what the table does not allow; runs before every route."""
    rule = rule_for(f"{request.method} {request.scope['route'].path}")
    if rule is None:
        raise Forbidden("nobody may call this")
    if rule.caller is not Caller.ANYBODY:
        request.state.account = await accounts.account_of_token(context, _token(request))


async def signed_in(request: Request, bearer: Bearer) -> Account:
    """Return the account of the caller; only on routes that the table gives to those signed in."""
    account: Account = request.state.account
    return account


Customer = Annotated[Account, Depends(signed_in)]


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotSignedIn()
    return token.strip()
