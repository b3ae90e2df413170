"""The coordinator's own secrets, read from files that only it may read."""

import json
from pathlib import Path

from coordinator.settings import Settings
from soterone.crypto.accounts import KeystoreError, Signer, open_keystore

SECRET_NAME = "sign-in.secret"  # noqa: S105 - a file's name


def open_key(settings: Settings) -> Signer:
    """Return who signs transactions; KeystoreError when the file is missing or does not open.

    The file is a keystore (Web3 secret storage) opened with `key_password_file`, or 32 bytes as hexadecimal text.
    """
    return read_key(settings.key_file, settings.key_password_file)


def read_key(path: Path, password_file: Path | None) -> Signer:
    """See `open_key`."""
    try:
        text = path.read_text().strip()
        password = password_file.read_text().strip() if password_file else ""
    except OSError as error:
        raise KeystoreError(f"the key file cannot be read: {error.strerror} ({error.filename})") from error
    if _is_keystore(text):
        return open_keystore(path, password)
    try:
        return Signer.from_key(text)
    except Exception as error:
        raise KeystoreError(f"{path} holds neither a keystore nor 32 bytes as hexadecimal text") from error


def sign_in_secret(data_dir: Path) -> bytes:
    """Return the secret that proves which sign-in messages this coordinator made."""
    return bytes.fromhex((data_dir / SECRET_NAME).read_text())


def _is_keystore(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
