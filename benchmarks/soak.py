"""Minutes of scans through a server, with faults among them: nothing may pile up, no healthy scan may fail."""

from __future__ import annotations

import os
import random
import re
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click
from measure import print_conditions, print_table
from served_scans import ScanMessages, connect, reset, run_scan, running_server, wait_until_idle

from pipelines.hosts.server import Server, Settings
from pipelines.hosts.session import Patience
from pipelines.protocol.framing import Id
from pipelines.simulation.simulated_protocol import Protocol

SHARES = {"cut": 0.05, "garbage": 0.02, "stall": 0.01}
PATIENCE = Patience(peer=10.0, worker=60.0, computation=30.0)
KINDS = ("peer", "request", "busy", "reconstruction", "internal")
MOST_GROWTH_MB = 32.0  # what allocators may keep between the first minute and the last
HEADER = ("minute", "scans", "images", "faults sent", *(f"failed: {kind}" for kind in KINDS), "front MB", "workers MB",
          "threads", "descriptors", "latency median ms", "max ms")  # fmt: skip


@dataclass
class Minute:
    """What the clients of one minute did and saw."""

    sent: Counter[str] = field(default_factory=Counter)
    n_images: int = 0
    latencies: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rest:
    """What the server holds when no scan runs; sizes in MB."""

    front: float
    workers: float
    n_threads: int
    n_descriptors: int

    @classmethod
    def of(cls, server: Server) -> Rest:
        """Measure, when the server has come to rest."""
        wait_until_idle(server)
        workers = [worker.process.pid for worker in server._pool._idle]
        descriptors = len(os.listdir("/proc/self/fd"))
        return cls(_memory_mb(os.getpid()), max(map(_memory_mb, workers)), threading.active_count(), descriptors)

    def grown_since(self, before: Rest) -> list[str]:
        """Say what grew beyond its margin."""
        grown = {"front, MB": self.front - before.front - MOST_GROWTH_MB,
                 "a worker, MB": self.workers - before.workers - MOST_GROWTH_MB,
                 "threads": self.n_threads - before.n_threads,
                 "descriptors": self.n_descriptors - before.n_descriptors}  # fmt: skip
        return [f"{what} grew by {by:g} more than allowed" for what, by in grown.items() if by > 0]


@click.command()
@click.option("--minutes", default=5, show_default=True, type=click.IntRange(2))
@click.option("--clients", default=4, show_default=True, type=click.IntRange(1, 64))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--seed", default=0, show_default=True)
def main(minutes: int, clients: int, workers: int, seed: int) -> None:
    """Run `clients` at once, each scan after scan; end with an error if anything leaks or a healthy scan fails."""
    protocol = Protocol(matrix=64, n_coils=4, n_slices=2, acceleration=2, acs_lines=20, snr=200.0)
    scan = ScanMessages.simulate(protocol, "sense")
    shares = ", ".join(f"{share:.0%} {what}" for what, share in SHARES.items())
    print_conditions(
        f"{clients} clients, {workers} workers, SENSE of 64², 4 coils, 2 slices, R=2, unpaced; {shares}; "
        "clients and server in one process, memory and counts at rest after each minute"
    )
    rows, rests, wrong = [], [], []
    most = 4 * clients  # a scan whose client has vanished takes its place until its worker is back
    with running_server(Settings(port=0, n_workers=workers, most_connections=most, patience=PATIENCE)) as server:
        before = _failures(server)
        for number in range(1, minutes + 1):
            minute = _run_minute(server.port, scan, clients, seed * 1000 + number)
            rests.append(Rest.of(server))
            failures = _failures(server)
            rows.append(_row(number, minute, failures - before, rests[-1]))
            before, wrong = failures, wrong + minute.wrong
            click.echo(f"minute {number}: {minute.sent.total()} scans, {len(minute.wrong)} wrong", err=True)
    print_table(HEADER, rows)
    wrong += rests[-1].grown_since(rests[0])
    if wrong:
        raise click.ClickException("; ".join(dict.fromkeys(wrong)))
    click.echo("nothing grew, no healthy scan failed")


def _run_minute(port: int, scan: ScanMessages, n_clients: int, seed: int) -> Minute:
    minute, end = Minute(), time.monotonic() + 60
    lock = threading.Lock()

    def client(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        while time.monotonic() < end:
            _one(port, scan, rng, minute, lock)

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return minute


def _one(port: int, scan: ScanMessages, rng: random.Random, minute: Minute, lock: threading.Lock) -> None:
    what = rng.choices(["healthy", *SHARES], [1 - sum(SHARES.values()), *SHARES.values()])[0]
    images, latency, wrong = 0, None, None
    try:
        if what == "healthy":
            answer = run_scan(port, scan)
            images, latency = len(answer.images), answer.latency
            if answer.failures or images != scan.n_images:
                wrong = f"a healthy scan gave {images} images ({', '.join(answer.failures) or 'nothing was said'})"
        else:
            _misbehave(what, port, scan, rng)
    except OSError as error:
        wrong = f"a healthy scan broke off ({error})" if what == "healthy" else None
    with lock:
        minute.sent[what] += 1
        minute.n_images += images
        minute.latencies += [] if latency is None else [latency]
        minute.wrong += [] if wrong is None else [wrong]


def _misbehave(what: str, port: int, scan: ScanMessages, rng: random.Random) -> None:
    """Send a part of a scan; then vanish, send garbage, or fall silent until the server hangs up."""
    wire = connect(port)
    try:
        for message in (*scan.beginning, *scan.lines)[: rng.randrange(len(scan.lines))]:
            wire.send(message)
        if what == "cut":
            part = scan.lines[0].body
            wire.socket.sendall(b"\xf0\x03" + part[: rng.randrange(len(part))])
            reset(wire)
            return
        if what == "garbage":
            wire.socket.sendall(rng.randbytes(rng.randrange(2, 5000)))
        while wire.read().id != Id.CLOSE:
            pass
    finally:
        wire.close()


def _failures(server: Server) -> Counter[str]:
    value = server.monitor.registry.get_sample_value
    return Counter({kind: int(value("kband_failures_total", {"kind": kind}) or 0) for kind in KINDS})


def _row(number: int, minute: Minute, failures: Counter[str], rest: Rest) -> list[str]:
    latencies = minute.latencies or [float("nan")]
    counts = [number, minute.sent.total(), minute.n_images, minute.sent.total() - minute.sent["healthy"],
              *(failures[kind] for kind in KINDS)]  # fmt: skip
    sizes = [f"{rest.front:.0f}", f"{rest.workers:.0f}", str(rest.n_threads), str(rest.n_descriptors)]
    return [*map(str, counts), *sizes, f"{1e3 * statistics.median(latencies):.0f}", f"{1e3 * max(latencies):.0f}"]


def _memory_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


if __name__ == "__main__":
    main()
