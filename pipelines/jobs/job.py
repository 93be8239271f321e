"""One job a file: what is to be done, and what came of it. Plain values, which another machine can be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pipelines.jobs.listener import Listener


@dataclass(frozen=True)
class Job:
    """A file, and what is made of it.

    `may_replace`: whether that may take the place of what stands there. `refused`: why the job is not to be begun.
    """

    path: Path
    target: Path
    may_replace: bool = True
    refused: str | None = None


@dataclass
class Outcome:
    """What came of a job: a sentence if anything is wrong, and whatever the command asked for besides its file.

    `results` and `asides` are what a worker wrote down, for nobody watches its screen.
    """

    problem: str | None = None
    value: Any = None
    was_finished: bool = False
    results: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)


Work: TypeAlias = Callable[[Job, Listener], Outcome]
