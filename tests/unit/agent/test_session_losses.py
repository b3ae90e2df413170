"""Who is silent, and who only seems so because this node itself was not listening."""

from node_agent.sessions.losses import OWN_GAP_SECONDS, SILENT_SECONDS, Silence
from soterone.domain.ids import Account

A, B = Account("0x" + "a" * 40), Account("0x" + "b" * 40)


def test_silence_lasts_from_the_last_answer() -> None:
    silence = Silence.of([A, B], 100.0)
    for second in range(101, 108):
        silence.listen(float(second))
        silence.heard(A, float(second))
    assert silence.seconds(A, 107.0) == 0
    assert silence.seconds(B, 107.0) == 7 > SILENT_SECONDS


def test_whoever_was_stopped_itself_has_heard_nobody_and_blames_nobody() -> None:
    silence = Silence.of([A, B], 0.0)
    silence.listen(1.0)
    silence.listen(31.0)
    assert (silence.seconds(A, 31.0), silence.seconds(B, 31.0)) == (0, 0)
    silence.listen(31.0 + OWN_GAP_SECONDS)
    assert silence.seconds(B, 31.0 + OWN_GAP_SECONDS) == OWN_GAP_SECONDS
