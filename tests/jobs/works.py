"""Works that cost nothing, by a name that a worker's process can import."""

import os
import signal

from pipelines.jobs.job import Outcome


def copied(job, listener):
    """The result is what the file holds; a file that holds "flaw" has one."""
    text = job.path.read_text()
    job.target.write_text(f"made of {text}")
    listener.result(f"{job.path.name} was read")
    return Outcome("it has a flaw" if "flaw" in text else None, value=len(text))


def copied_at_second_try(job, listener):
    """At the first try the process dies, as if it had no memory left, when a part is written."""
    begun = job.path.with_suffix(".begun")
    if begun.exists():
        return copied(job, listener)
    begun.touch()
    job.target.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)


def broken(job, listener):
    """Raises what nobody has foreseen."""
    raise ZeroDivisionError("no lines")
