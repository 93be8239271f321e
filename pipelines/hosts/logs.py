"""Log lines as JSON on standard error, each with the id of its scan."""

from __future__ import annotations

import logging
import sys

import structlog

SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logs(level: int = logging.INFO) -> None:
    """Send all of this process's log records through one JSON formatter."""
    handler = logging.StreamHandler(sys.stderr)
    renderer = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer()]  # fmt: skip
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=list(SHARED), processors=renderer))
    logging.basicConfig(handlers=[handler], level=level, force=True)
