"""A session link: brpc over mutual TLS between exactly the parties of one attempt."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spu import libspu

from node_agent.engines.base import EngineError, Link
from node_agent.engines.rendezvous import MissingPartiesError, meet
from soterone.domain.failures import FailureReason

CONNECT_INTERVAL_SECONDS = 0.1
PARTING_SECONDS = 0.3
_NAMED_RANK = re.compile(r"rank=(\d)")


@contextmanager
def session(link: Link, scratch: Path, silence_seconds: float) -> Iterator[libspu.link.Context]:
    """Link for the length of a block; on success all parties leave together.

    brpc aborts a whole process when a peer vanishes under an unanswered message, so nobody leaves before the others'
    last messages are answered; SPU's own stop_link sends more of them and is not used. The process must end soon.
    """
    context = connect(link, scratch, silence_seconds)
    try:
        yield context
        with lost_peers_named("the parties finished together"):
            context.all_gather("done")
    finally:
        time.sleep(PARTING_SECONDS)


def connect(link: Link, scratch: Path, silence_seconds: float) -> libspu.link.Context:
    """Link with the other parties; EngineError when one cannot be reached or shows another certificate.

    The key and the certificates lie in `scratch` while TLS starts.
    """
    description = libspu.link.Desc()
    description.id = f"{link.query_id}-{link.generation}-{link.attempt}"
    for party in sorted(link.parties, key=lambda party: party.rank):
        description.add_party(str(party.rank), f"{party.host}:{party.port}")
    description.connect_retry_interval_ms = int(CONNECT_INTERVAL_SECONDS * 1000)
    description.connect_retry_times = max(1, int(link.connect_seconds / CONNECT_INTERVAL_SECONDS))
    description.recv_timeout_ms = int(silence_seconds * 1000)
    description.http_timeout_ms = int(silence_seconds * 1000)
    with _tls_files(link, scratch) as (certificate, key, trusted):
        description.enable_ssl = True
        for options in (description.client_ssl_opts, description.server_ssl_opts):
            options.cert.certificate_path = str(certificate)
            options.cert.private_key_path = str(key)
            options.verify.ca_file_path = str(trusted)
            options.verify.verify_depth = 1
        try:
            meet(link)
            return libspu.link.create_brpc(description, link.rank)
        except (RuntimeError, OSError) as error:
            sentence = (
                "The computing parties could not link: one did not answer or showed a wrong certificate."
            )
            ranks = _missing(error)
            raise EngineError(FailureReason.ENGINE_ERROR, sentence, str(error), unlinked=ranks) from error


def _missing(error: Exception) -> tuple[int, ...]:
    """Return whom a link failed with: who did not come to the meeting, or whom brpc names."""
    if isinstance(error, MissingPartiesError):
        return error.ranks
    return tuple(sorted({int(rank) for rank in _NAMED_RANK.findall(str(error))}))


@contextmanager
def _tls_files(link: Link, scratch: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Write the own certificate, its key, and the other parties' certificates; remove them again."""
    own = next(party for party in link.parties if party.rank == link.rank)
    others = "".join(party.certificate_pem for party in link.parties if party.rank != link.rank)
    files = {"own.pem": own.certificate_pem, "key.pem": link.private_key_pem, "trusted.pem": others}
    paths = [scratch / name for name in files]
    try:
        for path, content in zip(paths, files.values(), strict=True):
            path.write_text(content)
        yield paths[0], paths[1], paths[2]
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


@contextmanager
def lost_peers_named(doing: str) -> Iterator[None]:
    """Turn SPU's error about a silent peer into one sentence that says during what."""
    try:
        yield
    except RuntimeError as error:
        sentence = f"A computing party was lost, or its answer made no sense, while {doing}."
        raise EngineError(FailureReason.ENGINE_ERROR, sentence, str(error)) from error
