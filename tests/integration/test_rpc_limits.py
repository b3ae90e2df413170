"""What a gRPC server of ours takes from strangers, over real TLS on loopback."""

from typing import Any

import grpc
import grpc.aio
import pytest

from soterone.crypto.certificates import CertificateAuthority, TlsIdentity, new_tls_key
from soterone.rpc.channels import MAX_MESSAGE_BYTES, bind, server
from soterone.rpc.generated import coordinator_pb2 as pb
from soterone.rpc.generated.coordinator_pb2_grpc import (
    EnrolmentServicer,
    EnrolmentStub,
    add_EnrolmentServicer_to_server,
)


class Listener(EnrolmentServicer):
    """Counts the calls that reach it."""

    calls = 0

    async def Register(  # noqa: N802 - the protocol's name
        self, request: pb.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RegisterReply:
        self.calls += 1
        return pb.RegisterReply()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_no_message_is_larger_than_it_may_be_also_when_it_was_packed(
    compression: grpc.Compression,
) -> None:
    authority, key, listener = CertificateAuthority.create(), new_tls_key(), Listener()
    serving = server()
    add_EnrolmentServicer_to_server(listener, serving)
    identity = TlsIdentity(key, authority.issue_server(key, ("127.0.0.1",)))
    port = bind(serving, "127.0.0.1:0", identity, None)
    await serving.start()
    credentials = grpc.ssl_channel_credentials(authority.ca_pem)
    unbounded = [("grpc.max_send_message_length", -1)]
    try:
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{port}", credentials, options=unbounded, compression=compression
        ) as channel:
            request = pb.RegisterRequest(certificate_request_der=bytes(16 * MAX_MESSAGE_BYTES))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await EnrolmentStub(channel).Register(request, timeout=10)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert listener.calls == 0
            await EnrolmentStub(channel).Register(pb.RegisterRequest(), timeout=10)
            assert listener.calls == 1
    finally:
        await serving.stop(0)
