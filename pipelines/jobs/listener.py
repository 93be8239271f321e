"""Who hears what a job tells while it is at work: the screen, or notes that travel with its outcome."""

from __future__ import annotations

import sys
from typing import ClassVar, Protocol

import click
from tqdm import tqdm


class Listener(Protocol):
    """Hears results, and what is said aside; `shows_progress`: whether anybody watches a bar."""

    shows_progress: ClassVar[bool]

    def result(self, text: str) -> None:
        """Hear a line of what was made."""

    def aside(self, text: str) -> None:
        """Hear a line of what happened meanwhile."""


class Screen:
    """Results on standard output, the rest on standard error, above the progress bar."""

    shows_progress: ClassVar[bool] = True

    def result(self, text: str) -> None:
        """Write it."""
        click.echo(text)

    def aside(self, text: str) -> None:
        """Write it."""
        tqdm.write(text, file=sys.stderr)


class Notes:
    """Two lists."""

    shows_progress: ClassVar[bool] = False

    def __init__(self) -> None:
        self.results: list[str] = []
        self.asides: list[str] = []

    def result(self, text: str) -> None:
        """Keep it."""
        self.results.append(text)

    def aside(self, text: str) -> None:
        """Keep it."""
        self.asides.append(text)
