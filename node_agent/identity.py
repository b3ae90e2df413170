"""Who this agent is: its account's signer, its TLS identity and the coordinator's certificate authority."""

from dataclasses import dataclass
from pathlib import Path

from node_agent.errors import AgentError
from node_agent.folder import DataFolder
from soterone.crypto.accounts import KeystoreError, Signer, open_keystore
from soterone.crypto.certificates import TlsIdentity, key_hash_of_key
from soterone.domain.ids import Account


class IdentityError(AgentError):
    """A key, certificate or password is missing or wrong; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A registered node's keys. `tls` holds the certificate that the coordinator's CA issued."""

    signer: Signer
    tls: TlsIdentity
    ca_pem: bytes

    @property
    def account(self) -> Account:
        """The node's account."""
        return self.signer.account

    @property
    def tls_key_hash(self) -> bytes:
        """SHA-256 of the TLS public key, as it stands on chain."""
        return key_hash_of_key(self.tls.key_pem)


def read_password(path: Path) -> str:
    """Return the first line of a password file; IdentityError when it is missing or empty."""
    try:
        password = path.read_text().split("\n")[0]
    except OSError as error:
        raise IdentityError(f"the password file {path} cannot be read: {error.strerror}") from error
    if not password:
        raise IdentityError(f"the password file {path} is empty; write a password on its first line")
    return password


def open_signer(keystore: Path, password_file: Path) -> Signer:
    """Return the signer in a keystore; IdentityError when it does not open."""
    try:
        return open_keystore(keystore, read_password(password_file))
    except KeystoreError as error:
        raise IdentityError(str(error)) from error


def read_tls_key(path: Path) -> bytes:
    """Return the TLS key in a file, PEM; IdentityError when it is missing or damaged."""
    try:
        key_pem = path.read_bytes()
        key_hash_of_key(key_pem)
    except FileNotFoundError as error:
        raise IdentityError(f"there is no TLS key at {path}; restore it as init made it") from error
    except (ValueError, TypeError) as error:
        raise IdentityError(f"{path} is not the TLS key that init made; restore it") from error
    return key_pem


def open_tls(folder: DataFolder) -> TlsIdentity:
    """Return the TLS identity of a registered node; IdentityError when it is not registered yet."""
    if not folder.tls_certificate.exists():
        raise IdentityError("this node is not registered yet; run `soter-node register` first")
    return TlsIdentity(read_tls_key(folder.tls_key), folder.tls_certificate.read_bytes())


def open_identity(folder: DataFolder, password_file: Path, ca_pem: str) -> Identity:
    """Return the identity of a registered node. Errors: IdentityError."""
    tls = open_tls(folder)
    return Identity(open_signer(folder.keystore, password_file), tls, ca_pem.encode())
