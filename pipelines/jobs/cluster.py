"""Jobs on the workers of a dask cluster, on this machine or on others that see the same files."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import current_process
from typing import Any

import click
from tqdm import tqdm

from kband_core.plural import counted
from pipelines.files.finished_file import FileProblem
from pipelines.jobs.fingerprint import fingerprint
from pipelines.jobs.job import Job, Outcome, Work
from pipelines.jobs.listener import Notes

log = logging.getLogger(__name__)

SECONDS_TO_ANSWER = 10.0  # for a scheduler
SECONDS_WITHOUT_WORKERS = 60.0
DEATHS = 2  # of workers, after which a file is not tried again: it may be what ends them


@contextmanager
def connected(where: str) -> Iterator[Any]:
    """Give a client of the cluster: `local:N` starts one here, `dask` is that of dask's own configuration.

    Raises `ClickException` if there is none, or if it has no worker.
    """
    if importlib.util.find_spec("distributed") is None:
        raise click.ClickException("distributed missing, and --cluster needs it: pip install kband[cluster]")
    import dask

    kind, _, number = where.partition(":")
    if kind == "local":
        with dask.config.set(_local_settings(int(number))):
            from distributed import Client, LocalCluster  # sets up its log by the settings

            address = "127.0.0.1:0"  # nobody else is to reach it
            with LocalCluster(n_workers=int(number), threads_per_worker=1, host="127.0.0.1",
                              dashboard_address=address) as cluster, Client(cluster) as client:  # fmt: skip
                yield client
        return
    from distributed import Client

    address = dask.config.get("scheduler-address", None) if where == "dask" else where
    if address is None:
        raise click.ClickException("--cluster dask: no scheduler is configured; set DASK_SCHEDULER_ADDRESS")
    try:
        client = Client(address, timeout=SECONDS_TO_ANSWER)
    except (OSError, TimeoutError, ValueError) as error:
        raise click.ClickException(f"{address}: no dask scheduler answers within {SECONDS_TO_ANSWER:g} s") from error
    with client:
        if not client.nthreads():
            raise click.ClickException(f"{address}: 0 workers; start some with dask worker {address}")
        yield client


def _local_settings(n_workers: int) -> dict[str, Any]:
    spawned = "distributed.nanny.pre-spawn-environ"
    return {
        "distributed.worker.daemon": False,  # raw files are read by processes of their own
        "distributed.worker.profile.enabled": False,  # looks a hundred times a second: 1.8 instead of 1.2 s a file
        # as C does by itself; dask would have memory go back at once, which cost 0.7 s a file in page faults
        f"{spawned}.MALLOC_TRIM_THRESHOLD_": 1 << 26,
        f"{spawned}.MALLOC_MMAP_THRESHOLD_": 1 << 25,
        f"{spawned}.OMP_NUM_THREADS": max(1, len(os.sched_getaffinity(0)) // n_workers),
        "distributed.scheduler.allowed-failures": DEATHS,
        "logging.distributed": "critical",  # what concerns a file is in its outcome
    }


def run_on(client: Any, work: Work, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
    """Do the jobs on the cluster, a file each, and give the outcome of each as it comes.

    A job whose worker dies is done again by another one.
    """
    yield from ((job, Outcome(job.refused)) for job in jobs if job.refused)
    todo, ours = [job for job in jobs if not job.refused], fingerprint()
    waiting = dict(zip([client.submit(_on_worker, work, job, ours, pure=False) for job in todo], todo, strict=True))
    try:
        with tqdm(total=len(waiting), unit="file") as bar:
            for future in _as_they_end(client, set(waiting)):
                yield waiting.pop(future), _outcome(future)
                bar.update()
        yield from ((job, Outcome(f"no worker was left for {SECONDS_WITHOUT_WORKERS:g} s")) for job in waiting.values())
    finally:
        client.cancel(list(waiting))


def _as_they_end(client: Any, futures: set[Any]) -> Iterator[Any]:
    """Give futures that are done, in whatever order; end when all are, or when no worker is left for long."""
    from distributed import wait

    seen_alive = time.monotonic()
    while futures and time.monotonic() - seen_alive < SECONDS_WITHOUT_WORKERS:
        try:
            done = wait(futures, timeout=1, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        if done or client.nthreads():
            seen_alive = time.monotonic()
        yield from done
        futures = futures - done


def _outcome(future: Any) -> Outcome:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Outcome(f"{counted(DEATHS + 1, 'worker')} died of it, one after another; out of memory?")
    except Exception as error:  # noqa: BLE001 - of the cluster: a worker without our package, a scheduler that is gone
        return Outcome(f"the cluster gave no answer, {type(error).__name__}: {error}")


def _on_worker(work: Work, job: Job, expected: str) -> Outcome:
    """Do a job in a worker's process."""
    if current_process().daemon:
        return Outcome(
            "its worker may start no process, which reading needs; set DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )
    if fingerprint() != expected:
        return Outcome("its worker has another kband, other models or another torch than this command")
    notes = Notes()
    try:
        outcome = work(job, notes)
    except FileProblem as problem:
        outcome = Outcome(str(problem))
    except Exception as error:
        log.exception("a job failed")
        outcome = Outcome(f"internal error, {type(error).__name__}: {error}")
    outcome.results, outcome.asides = notes.results, notes.asides
    return outcome
