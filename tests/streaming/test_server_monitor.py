"""What an operator sees of a server, and that it can run for months."""

import json
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.protocol.framing import Id
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import LONG, serving, tiny_scan, wait_until

HEADER, LINES = tiny_scan()
BEGIN = (by_hand.config_file("sense"), by_hand.text(3, HEADER))


@pytest.fixture(scope="module")
def served():
    with serving() as served:
        yield served


def test_two_hundred_scans_leave_nothing_behind(served):
    """A server runs for months: no thread, descriptor or memory may stay. 32 MB is what the allocator may keep."""
    for _ in range(20):
        served.check()
    served.wait_until_idle()
    count = lambda: (threading.active_count(), len(os.listdir("/proc/self/fd")))  # noqa: E731
    n_threads, n_descriptors = count()
    workers = [worker.process.pid for worker in served.server._pool._idle]
    memory = {pid: _memory_mb(pid) for pid in (os.getpid(), *workers)}
    for _ in range(180):
        served.check()
    served.wait_until_idle()
    wait_until(lambda: count() <= (n_threads, n_descriptors))
    assert [worker.process.pid for worker in served.server._pool._idle] in (workers, workers[::-1])
    grown = {pid: _memory_mb(pid) - before for pid, before in memory.items()}
    assert max(grown.values()) < 32, grown


def _memory_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


@pytest.fixture(scope="module")
def ask(served):
    http = served.server.monitor.serve("localhost", 0)

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://localhost:{http.server_port}{path}", timeout=LONG) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    yield ask
    http.shutdown()
    http.server_close()


def metrics(ask: Callable) -> dict[str, float]:
    families = text_string_to_metric_families(ask("/metrics")[1])
    return {f"{s.name}{[*s.labels.values()] or ''}": s.value for family in families for s in family.samples}


def test_metrics_count(served, ask):
    """Scans by pipeline, failures by kind, lines, images, latency."""
    served.check()
    served.wait_until_idle()
    before = metrics(ask)
    for _ in range(2):
        served.check()
    with served.connect() as peer:
        peer.send(*BEGIN, *LINES[:5]).hang_up().sentence()
    served.wait_until_idle()
    after = metrics(ask)
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    assert grown["kband_scans_total['sense']"] == 3
    assert grown["kband_failures_total['peer']"] == 1
    assert grown["kband_lines_total"] == 2 * len(LINES) + 5
    assert grown["kband_images_total"] == grown["kband_last_line_to_image_seconds_count['sense']"] == 2
    assert grown["kband_failed_scans_total['sense']"] == 1
    assert (after["kband_workers_idle"], after["kband_scans_running"], after["kband_queue_bytes"]) == (2, 0, 0)


def test_readiness(served, ask):
    """Ready is who has a worker to spare; health says only that somebody answers."""
    assert ask("/ready")[0] == 200
    with served.connect() as first, served.connect() as second:
        for peer in (first, second):
            peer.send(*BEGIN, LINES[0]).wait_for(Id.TEXT)
        status, state = ask("/ready")
        assert (status, json.loads(state)["workers_idle"]) == (503, 0)
        assert ask("/health")[0] == 200
        for peer in (first, second):
            peer.send(*LINES[1:], by_hand.CLOSE).hear_out()
    served.wait_until_idle()
    assert ask("/ready")[0] == 200
    assert ask("/elsewhere")[0] == 404
