"""What is kept and sealed: keystores, result keys, certificates, sign-in messages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from soterone.crypto.accounts import KeystoreError, Signer, account, create_keystore, open_keystore
from soterone.crypto.certificates import (
    CertificateAuthority,
    CertificateError,
    certificate_request,
    check_validity,
    key_hash_of_certificate,
    key_hash_of_key,
    key_hash_of_request,
    new_tls_key,
    self_signed,
)
from soterone.crypto.sealing import ResultKey, SealingError, check_public, seal, share_context
from soterone.crypto.siwe import SignInError, SignInMessage, parse_sign_in

NODE = account("0x" + "22" * 20)


def test_a_keystore_opens_with_its_password_only(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    signer = create_keystore(path, "right")
    assert path.stat().st_mode & 0o777 == 0o600
    assert signer.private_key().hex() not in path.read_text()
    assert open_keystore(path, "right") == signer
    with pytest.raises(KeystoreError, match="wrong password"):
        open_keystore(path, "wrong")
    with pytest.raises(KeystoreError, match="already exists"):
        create_keystore(path, "right")
    with pytest.raises(KeystoreError, match="run init first"):
        open_keystore(tmp_path / "none.json", "right")


def test_a_sealed_share_opens_for_its_key_and_context_only() -> None:
    key, context = ResultKey.new(), share_context(bytes(32), 0, 1)
    sealed = seal(key.public, b"share", context)
    assert key.open(sealed, context) == b"share"
    assert sealed != seal(key.public, b"share", context)
    with pytest.raises(SealingError):
        ResultKey.new().open(sealed, context)
    with pytest.raises(SealingError):
        key.open(sealed, share_context(bytes(32), 1, 1))
    for changed in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:40], b"", b"\x02" + sealed[1:]):
        with pytest.raises(SealingError):
            key.open(changed, context)


@pytest.mark.parametrize("public", [b"", b"\x01", bytes(1217), b"\x02" + bytes(1216)])
def test_what_is_no_result_key_is_refused(public: bytes) -> None:
    with pytest.raises(SealingError):
        check_public(public)


def test_a_node_is_known_by_its_key_through_request_and_certificate() -> None:
    authority, key = CertificateAuthority.create(), new_tls_key()
    request = certificate_request(key, NODE)
    certificate = authority.issue(request, NODE)
    assert key_hash_of_key(key) == key_hash_of_request(request) == key_hash_of_certificate(certificate)
    x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(
        x509.load_pem_x509_certificate(authority.ca_pem)
    )


def test_a_request_that_was_changed_is_refused() -> None:
    request = bytearray(certificate_request(new_tls_key(), NODE))
    request[-1] ^= 1
    with pytest.raises(CertificateError):
        CertificateAuthority.create().issue(bytes(request), NODE)
    with pytest.raises(CertificateError, match="does not parse"):
        key_hash_of_request(b"nonsense")


def test_validity_is_checked_at_the_time_given() -> None:
    certificate = self_signed(new_tls_key(), "attempt")
    check_validity(certificate, datetime.now(UTC))
    with pytest.raises(CertificateError, match="valid only until"):
        check_validity(certificate, datetime.now(UTC) + timedelta(days=3))


def test_a_certificate_comes_alone() -> None:
    authority = CertificateAuthority.create()
    certificate = authority.issue(certificate_request(new_tls_key(), NODE), NODE)
    beside = (authority.ca_pem, b"# a remark\n", certificate, b"-----BEGIN TRUSTED CERTIFICATE-----\n")
    for text in (*(certificate + more for more in beside), *(more + certificate for more in beside)):
        with pytest.raises(CertificateError, match=r"beside it|does not parse"):
            key_hash_of_certificate(text)


def test_an_authority_is_kept_and_loaded(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    authority.save(tmp_path)
    assert CertificateAuthority.load(tmp_path) == authority
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        authority.save(tmp_path)


def test_a_sign_in_message_survives_the_way_to_a_wallet_and_back() -> None:
    now = datetime.now(UTC)
    message = SignInMessage(
        "localhost:8443",
        Signer.new().account,
        "Sign in.",
        "https://localhost:8443",
        1,
        "abcdefgh12",
        now,
        now,
    )
    assert parse_sign_in(message.render()) == message
    for broken in ("", message.render() + "\n", message.render().replace("Version: 1", "Version: 2")):
        with pytest.raises(SignInError):
            parse_sign_in(broken)
