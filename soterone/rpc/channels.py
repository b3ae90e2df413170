"""gRPC channels and servers that know whom they talk to: TLS 1.2+ with the coordinator's CA, or one exact peer."""

from collections.abc import Sequence

import grpc
import grpc.aio

from soterone.crypto.certificates import NODE_NAME, TlsIdentity, key_hash_of_certificate

MAX_MESSAGE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 18

_KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_SIZES: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)
_CLIENT_OPTIONS = (
    *_KEEPALIVE,
    *_SIZES,
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
_SERVER_OPTIONS = (
    *_KEEPALIVE,
    *_SIZES,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.max_metadata_size", 16_384),
)


class BindError(OSError):
    """The address to listen on is taken or not ours."""


def enrolment_channel(address: str, ca_pem: bytes) -> grpc.aio.Channel:
    """Return a channel to the coordinator's enrolment service; the caller shows no certificate."""
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca_pem), options=_CLIENT_OPTIONS)


def agents_channel(address: str, ca_pem: bytes, identity: TlsIdentity) -> grpc.aio.Channel:
    """Return a mutually authenticated channel to the coordinator's service for agents."""
    credentials = grpc.ssl_channel_credentials(ca_pem, identity.key_pem, identity.certificate_pem)
    return grpc.aio.secure_channel(address, credentials, options=_CLIENT_OPTIONS)


def peer_channel(endpoint: str, peer_certificate_pem: bytes, identity: TlsIdentity) -> grpc.aio.Channel:
    """Return a channel to one node, which must show exactly this certificate.

    The caller has compared the certificate's key hash with the chain; any other certificate, also one by the
    same CA, fails the handshake.
    """
    credentials = grpc.ssl_channel_credentials(
        peer_certificate_pem, identity.key_pem, identity.certificate_pem
    )
    options = (*_CLIENT_OPTIONS, ("grpc.ssl_target_name_override", NODE_NAME))
    return grpc.aio.secure_channel(endpoint, credentials, options=options)


def server(
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (), *, shares_port: bool = False
) -> grpc.aio.Server:
    """Return a server with bounded messages, metadata and pending calls; add servicers, then bind it.

    Servers of several processes that share a port are given its connections in turn.
    """
    options = (*_SERVER_OPTIONS, ("grpc.so_reuseport", int(shares_port)))
    return grpc.aio.server(options=options, interceptors=list(interceptors))


def bind(server: grpc.aio.Server, address: str, identity: TlsIdentity, client_ca_pem: bytes | None) -> int:
    """Bind a server and return its port; with `client_ca_pem`, callers must show a certificate by that CA."""
    pairs = [(identity.key_pem, identity.certificate_pem)]
    credentials = grpc.ssl_server_credentials(pairs, client_ca_pem, client_ca_pem is not None)
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise BindError(
            f"cannot listen on {address}: it is taken or not an address of this machine"
        ) from error


def caller_key_hash(context: grpc.aio.ServicerContext) -> bytes | None:  # type: ignore[type-arg]
    """Return the key hash of the certificate that the caller showed, None when it showed none."""
    certificates = context.auth_context().get("x509_pem_cert")
    return key_hash_of_certificate(next(iter(certificates))) if certificates else None
