"""Text that strangers wrote, made fit for a log line, a terminal or a page. Pure."""


def printable(text: str, length: int | None = None) -> str:
    """Return a text on one line, without control and direction characters, cut to a length."""
    return "".join(letter for letter in text if letter.isprintable())[:length]
