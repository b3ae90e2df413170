"""Say in one sentence when this Python cannot run SoterOne. Runs on any Python 3."""

import sys

if sys.version_info[:2] != (3, 11):
    sys.exit(
        "SoterOne's engine has wheels for Python 3.11 only and this is Python "
        + ".".join(map(str, sys.version_info[:2]))
        + ": install Python 3.11 with venv, then run `make PYTHON=/path/to/python3.11 ...`"
    )
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(
        "this Python has no venv module: install it (on Debian: apt-get install python3-venv), then run again"
    )
