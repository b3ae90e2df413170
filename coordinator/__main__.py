"""`soter-coordinator`: checks the interpreter, then hands over to the commands."""

import sys


def main() -> None:
    """Run the command line; exit status 1 with a sentence on an interpreter that is too old."""
    if sys.version_info < (3, 11):  # noqa: UP036 - for who runs it without installing
        found = ".".join(str(part) for part in sys.version_info[:3])
        sys.exit(f"soter-coordinator needs Python 3.11 or newer, this is {found}; make a new environment")
    from coordinator.commands import app

    app()


if __name__ == "__main__":
    main()
