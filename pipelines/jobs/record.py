"""What a result was made of, in a hidden file beside it: so that what is finished need not be made again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.files.finished_file import finished_file, refuse_existing
from pipelines.jobs.fingerprint import digest_of, fingerprint
from pipelines.jobs.job import Job, Outcome, Work
from pipelines.jobs.listener import Listener


@dataclass(frozen=True)
class Record:
    """What stands beside a result: digests of what it was made of and of itself, what is wrong, and what was told."""

    made_of: str
    result: str | None
    problem: str | None
    value: Any

    @classmethod
    def beside(cls, target: Path) -> Record | None:
        """Read it, if there is one that can be read."""
        try:
            return cls(**json.loads(record_path(target).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, target: Path) -> None:
        """Write it beside the result. Raises `FileProblem`."""
        with finished_file(record_path(target)) as unfinished:
            unfinished.write_text(json.dumps(self.__dict__))


def record_path(target: Path) -> Path:
    """Where the record of a result stands."""
    return target.with_name(f".{target.name}.record.json")


def remembered(work: Work, recipe: str) -> Work:
    """Let `work` be done only where its result does not stand already, made of the same: file, `recipe`, program.

    `recipe` tells the properties. What was finished with a problem is made again, for it may have been the machine's.
    """
    return partial(_unless_finished, work, recipe)


def _unless_finished(work: Work, recipe: str, job: Job, listener: Listener) -> Outcome:
    try:
        made_of = hashlib.sha256(f"{digest_of(job.path)} {recipe} {fingerprint()}".encode()).hexdigest()
    except OSError:
        return work(job, listener)  # which says what is wrong with the file
    found = Record.beside(job.target)
    if found and found.made_of == made_of and found.result == _digest(job.target):
        if found.problem is None:
            return Outcome(value=found.value, was_finished=True)
    else:
        refuse_existing(job.target, job.may_replace)
    outcome = work(job, listener)
    if (result := _digest(job.target)) or not outcome.problem:
        Record(made_of, result, outcome.problem, outcome.value).write(job.target)
    return outcome


def _digest(target: Path) -> str | None:
    return digest_of(target) if target.exists() else None
