"""TLS keys and certificates of the coordinator and of nodes.

A certificate is only the wrapping: what identifies a node is the SHA-256 of its TLS public key, which stands
on chain.
"""

import hashlib
import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from soterone.crypto.files import write_private
from soterone.domain.ids import Account

NODE_NAME = "node.soterone"
"""The one DNS name in every node's certificate; a node is known by its key, not by where it stands."""

_CLOCK_SKEW = timedelta(days=1)


class CertificateError(ValueError):
    """A certificate or request that is not what it should be."""


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A TLS private key with the certificate for it, both PEM."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes


def new_tls_key() -> bytes:
    """Return a fresh P-256 private key as PEM (PKCS#8)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_hash_of_key(key_pem: bytes) -> bytes:
    """Return SHA-256 of the DER SubjectPublicKeyInfo of a private key: `tlsKeyHash` on chain."""
    return _spki_hash(_load_key(key_pem).public_key())


def key_hash_of_certificate(certificate_pem: bytes) -> bytes:
    """Return SHA-256 of a certificate's SubjectPublicKeyInfo.

    CertificateError unless the text is one certificate and nothing else: whoever takes a text with a second one for
    its trust root would trust both.
    """
    return _spki_hash(_elliptic(_load_certificate(certificate_pem).public_key()))


def certificate_request(key_pem: bytes, account: Account) -> bytes:
    """Return a PKCS#10 request (RFC 2986) in DER for a node's key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(account))
    return builder.sign(_load_key(key_pem), hashes.SHA256()).public_bytes(Encoding.DER)


def key_hash_of_request(request_der: bytes) -> bytes:
    """Return the key hash of a request whose own signature holds; CertificateError otherwise."""
    return _spki_hash(_requested_key(request_der))


def check_validity(certificate_pem: bytes, now: datetime) -> None:
    """Raise CertificateError when a certificate is expired or not yet valid at `now`."""
    certificate = _load_certificate(certificate_pem)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise CertificateError(
            f"the certificate is valid only until {certificate.not_valid_after_utc:%Y-%m-%d}"
        )


def self_signed(
    key_pem: bytes, common_name: str, hosts: tuple[str, ...] = (NODE_NAME,), days: int = 2
) -> bytes:
    """Return a self-signed certificate (PEM) that serves as its own trust root, for one attempt's links."""
    key = _load_key(key_pem)
    builder = _builder(common_name, key.public_key(), days).issuer_name(_name(common_name))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_alternative_names(hosts), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The coordinator's certificate authority. It names nodes for convenience; the chain is what is trusted."""

    key_pem: bytes = field(repr=False)
    ca_pem: bytes

    @classmethod
    def create(cls) -> "CertificateAuthority":
        """Return a new authority, valid for ten years."""
        key_pem = new_tls_key()
        key = _load_key(key_pem)
        builder = _builder("SoterOne coordinator CA", key.public_key(), 3650)
        builder = builder.issuer_name(_name("SoterOne coordinator CA"))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_certificate_signing(), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(key_pem, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))

    @classmethod
    def load(cls, folder: Path) -> "CertificateAuthority":
        """Return the authority kept in a folder as `ca.key` and `ca.pem`."""
        return cls((folder / "ca.key").read_bytes(), (folder / "ca.pem").read_bytes())

    def save(self, folder: Path) -> None:
        """Keep the authority in a folder; FileExistsError when one is there."""
        write_private(folder / "ca.key", self.key_pem)
        (folder / "ca.pem").write_bytes(self.ca_pem)

    def issue(self, request_der: bytes, account: Account, days: int = 90) -> bytes:
        """Return a certificate (PEM) for a node's request; it may call and be called."""
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        return self._sign(account, _requested_key(request_der), (NODE_NAME,), usages, days)

    def issue_server(self, key_pem: bytes, hosts: tuple[str, ...], days: int = 825) -> bytes:
        """Return a certificate (PEM) for the coordinator's own servers under these host names or addresses."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        return self._sign("SoterOne coordinator", _load_key(key_pem).public_key(), hosts, usages, days)

    def _sign(
        self,
        common_name: str,
        key: ec.EllipticCurvePublicKey,
        hosts: tuple[str, ...],
        usages: list[x509.ObjectIdentifier],
        days: int,
    ) -> bytes:
        authority = _load_certificate(self.ca_pem)
        issuer_key = _elliptic(authority.public_key())
        builder = _builder(common_name, key, days).issuer_name(authority.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_alternative_names(hosts), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
        builder = builder.add_extension(identifier, critical=False)
        return builder.sign(_load_key(self.key_pem), hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(common_name: str, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names(hosts: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(host) for host in hosts])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate_signing() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _load_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the TLS key is not an elliptic-curve key")
    return key


def _load_certificate(certificate_pem: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        rendered = certificate.public_bytes(Encoding.PEM)
    except ValueError as error:
        raise CertificateError("the certificate does not parse") from error
    if certificate_pem.strip() != rendered.strip():
        raise CertificateError("the certificate comes with something beside it")
    return certificate


def _requested_key(request_der: bytes) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_der_x509_csr(request_der)
    except ValueError as error:
        raise CertificateError("the certificate request does not parse") from error
    if not request.is_signature_valid:
        raise CertificateError("the certificate request is not signed by its own key")
    return _elliptic(request.public_key())


def _elliptic(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError("the TLS key is not an elliptic-curve key")
    return key


def _spki_hash(key: ec.EllipticCurvePublicKey) -> bytes:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
