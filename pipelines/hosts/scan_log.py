"""The log of a server's scans: when one begins, what is said of it, what fails, how it ends."""

from __future__ import annotations

import dataclasses
import logging

from pipelines.chain.side_road import log_aside
from pipelines.hosts.events import Began, Ended, Event, Failed, Told

log = logging.getLogger(__name__)


def log_scan(event: Event) -> None:
    """Write one line; of the beginning only what names nobody, though the header knows more."""
    match event:
        case Began():
            facts = dataclasses.asdict(event)
            of_scan = facts.pop("facts")
            if not of_scan["feedback"]:
                del of_scan["feedback"]
            log.info("scan begins", extra={"scan": facts.pop("scan_id"), **of_scan, **facts})
        case Told():
            log_aside(event.aside)
        case Failed():
            log.error("%s", event.sentence)
        case Ended():
            log.info("scan ended", extra=event.summary())
