"""Log lines on standard error, each with the id of its scan: text for a terminal, else JSON."""

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
AS_JSON = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())


def configure_logs(level: int = logging.INFO) -> None:
    """Send all of this process's log records through one formatter."""
    handler = logging.StreamHandler(sys.stderr)
    as_text = (_on_one_line, structlog.dev.ConsoleRenderer(colors=False))
    renderer = [structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(as_text if sys.stderr.isatty() else AS_JSON)]  # fmt: skip
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=list(SHARED), processors=renderer))
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _on_one_line(_: object, __: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what a reader at a terminal does not need: the list of all images, and what is unknown."""
    return {name: value for name, value in record.items() if not isinstance(value, list) and value is not None}
