"""The page of a report: complete in itself, whatever strangers wrote into it."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from soterone.audit.page import as_html
from soterone.audit.plots import HEIGHT, WIDTH, plots_of
from soterone.audit.report import Anchor, AnchorKind, Check, Figures, Finding, Report, Scope, Step, scoped
from soterone.audit.text import as_document, as_lines
from soterone.domain.ids import Account, QueryId

NODE = Account("0x" + "1" * 40)
EVIL = '"><script>alert(1)</script><img src="https://evil.example/x">'
FIGURES = Figures(
    daily={20_000: {"QueryDispatched": 4, "QueryCompleted": 3}, 20_001: {"QueryFailed": 1}},
    scores={NODE: 1.0, EVIL: 0.25},
    statuses={"completed_cleaned": 3, "failed": 1},
    history=((1_728_000_000, 0.3), (1_728_086_400, 0.6)),
)
REPORT = Report(
    31337, 1, 9, "0x" + "2" * 64, 20, 20, Anchor(AnchorKind.SECOND_RPC, 9), Scope(),
    (Check("all is well", 3), Check("nothing is", 1, (Finding(EVIL),), EVIL)),
    (Step("NodeRegistered", 1, 1_728_000_000, "0x" + "3" * 64, {"node": EVIL}),),
    FIGURES,
)  # fmt: skip


def test_strangers_words_are_shown_as_words() -> None:
    page = as_html(REPORT)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 4
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_the_page_is_well_formed_and_its_plots_fill_the_picture() -> None:
    page = as_html(REPORT)
    for start in range(page.count("<svg")):
        picture = page.split("<svg")[start + 1].split("</svg>")[0]
        ElementTree.fromstring(f"<svg{picture}</svg>")  # noqa: S314
    plots = plots_of(REPORT)
    assert [one.title for one in plots] == [
        "Queries and penalties by day",
        "Queries by status",
        "Nodes by today's score",
        "Score over time",
    ]
    for bar in (bar for plot in plots for bar in plot.bars):
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= round(bar.y, 6) <= round(bar.y + bar.height, 6) <= HEIGHT
    assert max(bar.height for bar in plots[0].bars) == HEIGHT * 4 / 7
    assert plots[3].line == f"0.0,{HEIGHT * 0.7:.1f} {WIDTH:.1f},{HEIGHT * 0.4:.1f}"


def test_an_empty_network_has_a_page_without_plots() -> None:
    empty = replace(REPORT, figures=Figures(), steps=(), checks=(Check("all is well", 0),))
    assert plots_of(empty) == ()
    assert "everything agrees" in as_html(empty)


def test_text_and_document_say_the_same() -> None:
    lines, document = list(as_lines(REPORT)), as_document(REPORT)
    assert lines[-1] == "the chain contradicts itself 1 times"
    assert f"✗ {EVIL}" in lines
    assert (document["ok"], document["anchored"]) == (False, True)
    assert document["checks"][1]["contradictions"] == [EVIL]


@pytest.mark.parametrize(
    ("anchor", "words"),
    [
        (Anchor(), "unanchored: nobody but this RPC"),
        (Anchor(AnchorKind.CHECKPOINT, 5), "anchored by checkpoint up to block 5, unanchored after it"),
        (Anchor(AnchorKind.PINNED_HASH, 9), "anchored by pinned hash: block 9 is confirmed"),
    ],
)
def test_the_anchor_is_told(anchor: Anchor, words: str) -> None:
    assert words in list(as_lines(replace(REPORT, anchor=anchor)))[1]


def test_a_report_about_one_leaves_out_the_others() -> None:
    query = QueryId("0x" + "4" * 64)
    found = (Finding("of the node", (NODE,)), Finding("of a query", (query,)), Finding("of everybody"))
    (kept,) = scoped([Check("one", 3, found)], Scope(node=NODE))
    assert kept.contradictions == ("of the node", "of everybody")
    (all_of_them,) = scoped([Check("one", 3, found)], Scope())
    assert all_of_them.findings == found
