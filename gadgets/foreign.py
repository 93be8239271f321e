"""Gadgets of other packages: found by the entry point group `kband.gadgets`, imported when a chain names one.

A name chooses among what the site has installed, and nothing else: no path and no module can be named, whoever sent the
chain. What is installed runs with the rights of who runs the chain, as every package does.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from gadgets.errors import PipelineError

GROUP = "kband.gadgets"


def foreign_names() -> set[str]:
    """Names of the gadgets that other packages have installed; none is imported."""
    return set(entry_points(group=GROUP).names)


def import_foreign(name: str) -> None:
    """Import the gadget that is installed under this name, which registers it. Raises `PipelineError`."""
    for entry in entry_points(group=GROUP, name=name):
        who = f"gadget '{name}' of another package ({entry.value})"
        try:
            entry.load()
        except Exception as error:
            raise PipelineError(f"{who} cannot be imported: {type(error).__name__}: {error}") from error
