"""What strangers say reaches the customer's terminal as text alone: no markup, no escape sequence, no crash."""

import json
from collections.abc import Callable

import pytest

from soterone.cli import output
from soterone.cli.__main__ import main
from soterone.cli.queries import _line
from soterone.client.errors import Refused
from soterone.rest.queries import QueryEvent

TRICKS = (
    "[/]",
    "[/red]",
    "[link=https://evil.example]here[/link]",
    "\x1b]0;owned\x07",
    "\x9b2J",
    "\u202eabc",
    "\\",
)


def show_event(trick: str) -> None:
    data = {"node": "0x1", "detail": trick, trick: 1}
    output.console.print(_line(QueryEvent(sequence=1, kind="progress", at="12:00", data=data)))


def show_table(trick: str) -> None:
    output.print_table("Participants", ("detail",), [(trick,)])


def refuse(trick: str) -> None:
    def app() -> None:
        raise Refused(409, "Conflict", f"node 0x1 refused the query: {trick}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soterone.cli.__main__.app", app)
        with pytest.raises(SystemExit):
            main()


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("show", [show_event, show_table, refuse])
def test_what_strangers_say_is_text_alone(
    trick: str, show: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    show(trick)
    written = "".join(capsys.readouterr())
    assert all(letter.isprintable() or letter == "\n" for letter in written)
    assert "".join(letter for letter in trick if letter.isprintable()) in written


def test_json_steers_no_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"detail": "\x9b\u202e\x1b"})
    written = capsys.readouterr().out
    assert written.isascii()
    assert json.loads(written) == {"detail": "\x9b\u202e\x1b"}
