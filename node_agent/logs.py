"""Structured logs: one JSON object a line on stderr or in a file, of identifiers and figures, never values."""

import logging
import sys
from pathlib import Path

import structlog


def configure_logs(file: Path | None = None, level: int = logging.INFO) -> None:
    """Send every log line of this process to a file (mode 0600), or to stderr when None."""
    if file is not None:
        file.touch(mode=0o600, exist_ok=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=file.open("a", buffering=1) if file else sys.stderr),
        cache_logger_on_first_use=False,
    )
