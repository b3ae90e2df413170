"""A report as one HTML page that needs nothing else: no script, no font, no address of anybody."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from soterone.audit.plots import HEIGHT, WIDTH, plots_of
from soterone.audit.report import Report
from soterone.audit.text import anchor_of, title_of, verdict_of, when

_pages = Environment(
    loader=PackageLoader("soterone.audit"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters["when"] = when


def as_html(report: Report) -> str:
    """Return the page. Whatever an RPC or coordinator wrote is escaped."""
    return _pages.get_template("report.html.j2").render(
        report=report,
        title=title_of(report),
        anchor=anchor_of(report),
        verdict=verdict_of(report),
        plots=plots_of(report),
        width=WIDTH,
        height=HEIGHT,
    )
