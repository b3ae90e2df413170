"""Roles of a node as the bits that stand on chain, and versions as the packed number that stands there."""

from enum import IntFlag


class Role(IntFlag):
    """What a node may be used for; one node may hold several."""

    DATA_OWNER = 1
    MPC_NODE = 2
    DETECTOR = 4


def pack_version(text: str) -> int:
    """Return `major.minor.patch` as major << 16 | minor << 8 | patch; ValueError when a part is not 0..255."""
    parts = [int(part) for part in text.split(".")]
    if len(parts) != 3 or any(not 0 <= part <= 255 for part in parts):
        raise ValueError(f"version {text!r} is not major.minor.patch with parts up to 255")
    major, minor, patch = parts
    return major << 16 | minor << 8 | patch


def unpack_version(packed: int) -> str:
    """Return the text form of a packed version."""
    return f"{packed >> 16 & 0xFF}.{packed >> 8 & 0xFF}.{packed & 0xFF}"
