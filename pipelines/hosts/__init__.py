"""Hosts: who brings lines to a pipeline and takes its images. `external` is what Gadgetron's XML names."""

from __future__ import annotations

from typing import Any

from pipelines.idle_threads import sleep_while_waiting


def external(connection: Any) -> None:
    """Run one scan inside Gadgetron; see `pipelines.hosts.gadgetron_module`."""
    sleep_while_waiting()
    from pipelines.hosts.gadgetron_module import run_module  # imports torch: only in the process that computes

    run_module(connection)
