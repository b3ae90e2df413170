"""What the nodes of a link tell each other before they train: who cannot, and whether they hold shares of one model."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from spu import libspu

from node_agent.engines.base import EngineError
from node_agent.engines.reports import Failed
from node_agent.engines.spu.checkpoint import Origin, mismatch
from node_agent.engines.spu.lending import NODES, common_component
from node_agent.engines.spu.session import lost_peers_named
from soterone.domain.failures import FailureReason
from soterone.domain.share_file import Pairs

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Notice:
    """How far a node came: what it resumes from (None is the beginning), or the failure that ends its job."""

    origin: str | None = None
    failure: Failed | None = None


NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


def agree(link: libspu.link.Context, prepared: Origin | EngineError) -> Origin:
    """Return the own origin when all nodes have the same one and their shares fit.

    EngineError otherwise, at every node: the own failure, or another node's, or a mismatch of the checkpoints.
    """
    own = (
        Notice(failure=Failed.of(prepared))
        if isinstance(prepared, EngineError)
        else Notice(prepared.identity)
    )
    with _named():
        texts = link.all_gather(NOTICE.dump_json(own).decode())
    if isinstance(prepared, EngineError):
        raise prepared
    notices = [_heard(text) for text in texts]
    for notice in notices:
        if notice.failure is not None:
            raise notice.failure.hearsay()
    if {notice.origin for notice in notices} != {prepared.identity}:
        raise mismatch("the nodes would resume from different ones")
    if prepared.identity is not None:
        _compare(link, prepared.model)
    return prepared


def _heard(text: str) -> Notice:
    try:
        return NOTICE.validate_json(text)
    except ValidationError as error:
        sentence = "Another MPC node's engine speaks another version: all three must run the same one."
        raise EngineError(FailureReason.ENGINE_ERROR, sentence) from error


def _compare(link: libspu.link.Context, model: dict[str, Pairs]) -> None:
    """Have each pair of nodes compare the component it shares, by a hash under a key that all three drew just now.

    The hashes go from one to the other alone: the third node must learn nothing of a component it lacks.
    """
    others = [rank for rank in range(NODES) if rank != link.rank]
    with _named():
        key = "".join(link.all_gather(secrets.token_hex(KEY_BYTES))).encode()
        for other in others:
            link.send(other, _digest(key, link.rank, model, link.rank, other))
        same = [
            hmac.compare_digest(
                bytes(link.recv(other)), _digest(key, other, model, link.rank, other).encode()
            )
            for other in others
        ]
        verdicts = link.all_gather("same" if all(same) else "different")
    if set(verdicts) != {"same"}:
        raise mismatch("the shares of one contradict those of another")


def _digest(key: bytes, sender: int, model: dict[str, Pairs], rank: int, other: int) -> str:
    content = hmac.new(key, bytes([sender]), hashlib.sha256)
    for name in sorted(model):
        content.update(common_component(model[name], rank, other).astype("<u8").tobytes())
    return content.hexdigest()


@contextmanager
def _named() -> Iterator[None]:
    with lost_peers_named("the MPC nodes compared what they resume from"):
        yield
