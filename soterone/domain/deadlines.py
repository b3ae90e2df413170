"""Until when a signature holds. Contracts compare it with their block's time; the signer's clock may be wrong."""

from typing import Final

SIGNATURE_SECONDS: Final = 3_600
"""Long enough for a signer, a coordinator and a chain whose clocks differ by some ten minutes each."""


def signature_deadline(own_seconds: float, chain_seconds: int) -> int:
    """Return the deadline (Unix seconds) of what is signed now, by the later of the signer's clock and the newest
    block: a chain that mines on demand stands still, and so may run behind for long."""
    return int(max(own_seconds, chain_seconds)) + SIGNATURE_SECONDS
