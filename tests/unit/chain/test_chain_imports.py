"""Agents that watch the chain do not pay for a library that they do not use."""

import subprocess
import sys

MODULES = "soterone.chain.client, soterone.chain.follower, soterone.chain.sender"


def test_client_follower_and_sender_stand_without_web3() -> None:
    program = f"import sys, {MODULES}; print(sorted({{'web3', 'aiohttp'}} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
