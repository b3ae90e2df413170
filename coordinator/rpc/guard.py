"""Stands before every RPC: finds the node behind the caller's certificate, applies the table of permissions and
turns refusals into gRPC codes with their sentence."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
import structlog

from coordinator.context import Context
from coordinator.errors import Forbidden, answer_to, as_refusal
from coordinator.models.nodes import NodeStatus
from coordinator.nodes.errors import NotActive, UnknownCertificate, WrongRole
from coordinator.nodes.repository import KnownNode
from coordinator.permissions import Caller, rule_for
from coordinator.retries import persistently
from coordinator.rpc.callers import Callers
from soterone.domain.ids import Account, hash32
from soterone.domain.roles import Role
from soterone.rpc.channels import caller_key_hash

_log = structlog.get_logger()
_node: ContextVar[Account] = ContextVar("node")

_ROLES = {Caller.DATA_OWNER: Role.DATA_OWNER, Caller.DETECTOR: Role.DETECTOR}
_RETIRED = (NodeStatus.SUSPENDED, NodeStatus.LEAVING)

Call = grpc.aio.ServicerContext[Any, Any]


def calling_node() -> Account:
    """Return the account of the node that makes the present call."""
    return _node.get()


class Guard(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; a method that the table does not know is refused."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._callers = Callers(context.database)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler that authorises first."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        return (
            self._streaming(method, handler) if handler.response_streaming else self._single(method, handler)
        )

    def _single(self, method: str, handler: Any) -> Any:
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def single(request: Any, call: Call) -> Any:
            try:
                _node.set(await persistently(lambda: self.admit(method, call), harmless=True))
                if handler.request_streaming:
                    answer = await inner(request, call)
                else:
                    answer = await persistently(lambda: inner(request, call), harmless=True)
            except Exception as error:
                await self._refuse(method, call, error)
            self._context.metrics.calls.labels(method, "OK").inc()
            return answer

        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(single, handler.request_deserializer, handler.response_serializer)

    def _streaming(self, method: str, handler: Any) -> Any:
        async def streaming(requests: Any, call: Call) -> None:
            try:
                _node.set(await self.admit(method, call))
                await handler.stream_stream(requests, call)
            except Exception as error:
                await self._refuse(method, call, error)

        return grpc.stream_stream_rpc_method_handler(
            streaming, handler.request_deserializer, handler.response_serializer
        )

    async def admit(self, method: str, call: Call) -> Account:
        """Return who calls, an empty account where anybody may; the refusal otherwise."""
        rule = rule_for(method)
        if rule is None:
            raise Forbidden("nobody may call this")
        if rule.caller is Caller.ANYBODY:
            return Account("")
        node = await self._known(call)
        if node.status != NodeStatus.ACTIVE and not (rule.retired and node.status in _RETIRED):
            raise NotActive(node.account, node.status)
        needed = _ROLES.get(rule.caller)
        if needed is not None and not node.roles & needed:
            raise WrongRole(node.account, rule.caller)
        return node.account

    async def _known(self, call: Call) -> KnownNode:
        key_hash = caller_key_hash(call)
        node = await self._callers.find(hash32(key_hash)) if key_hash is not None else None
        if node is None:
            raise UnknownCertificate()
        return node

    async def _refuse(self, method: str, call: Call, error: Exception) -> None:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        refusal = as_refusal(error)
        if refusal is None:
            _log.exception("rpc_failed", method=method)
            self._context.metrics.calls.labels(method, "INTERNAL").inc()
            await call.abort(grpc.StatusCode.INTERNAL, "internal error")
            return
        answer = answer_to(refusal)
        self._context.metrics.calls.labels(method, answer.code.name).inc()
        await call.abort(answer.code, refusal.sentence)
