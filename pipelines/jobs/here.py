"""Jobs one after another, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.files.finished_file import FileProblem
from pipelines.jobs.job import Job, Outcome, Work
from pipelines.jobs.listener import Screen


def run_here(work: Work, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
    """Do the jobs in their order, and give the outcome of each."""
    for job in jobs:
        try:
            yield job, Outcome(job.refused) if job.refused else work(job, Screen())
        except FileProblem as problem:
            yield job, Outcome(str(problem))
