"""The TLS identity of one party in one attempt of one session: self-signed, never used again."""

import datetime as dt
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLOCK_SKEW = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """A P-256 key and its certificate, PEM; peers get the certificate alone, over the pinned peer channel."""

    certificate_pem: str
    private_key_pem: str = field(repr=False)


def new_link_identity(account: str, now: dt.datetime, lifetime: dt.timedelta) -> LinkIdentity:
    """Make the identity of an attempt that starts at `now` (with a time zone) and lasts at most `lifetime`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, account)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime + CLOCK_SKEW)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return LinkIdentity(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
