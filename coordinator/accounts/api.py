"""Routes to sign in and to leave."""

from fastapi import APIRouter, Response

from coordinator.accounts import service
from coordinator.authorisation import Customer
from coordinator.context import Ctx
from coordinator.errors import Conflict, Unauthenticated, Unavailable
from coordinator.problems import responses
from coordinator.retries import PersistentRoute
from soterone.rest.auth import NonceReply, NonceRequest, TokenReply, VerifyRequest

router = APIRouter(prefix="/v1", tags=["account"], route_class=PersistentRoute)


@router.post("/auth/nonce", responses=responses())
async def ask_nonce(context: Ctx, request: NonceRequest) -> NonceReply:
    """Return the message (EIP-4361) to sign with the account's key."""
    return await service.nonce(context, request.account)


@router.post("/auth/verify", responses=responses(Unauthenticated, Unavailable))
async def verify(context: Ctx, request: VerifyRequest) -> TokenReply:
    """Return a token for the signed message; the message works once."""
    return await service.verify(context, request.message, bytes.fromhex(request.signature[2:]))


@router.delete("/account", status_code=204, responses=responses(Unauthenticated, Conflict))
async def delete_account(context: Ctx, customer: Customer) -> Response:
    """Forget the caller: its tokens, queries and results go, and history keeps a pseudonym."""
    await service.delete_account(context, customer)
    return Response(status_code=204)
