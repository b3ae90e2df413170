"""Texts of strangers, as a person gets to read them."""

from soterone.domain.text import printable


def test_texts_for_people_have_no_tricks() -> None:
    assert printable("a\x00b\u202ec\n\ud800d\u2028e\x9b", 10) == "abcde"
    assert printable("x" * 300, 200) == "x" * 200
    assert printable("Größe – 3 µm") == "Größe – 3 µm"
