"""Scans take turns on a GPU, and none waits for another's lines."""

import multiprocessing
import os
import tempfile
import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.items import ReconBuffer
from pipelines.chain import turns
from pipelines.chain.run import run
from pipelines.chain.turns import Computing, DeviceLock, Waiting
from pipelines.chain.verdict import Verdict
from tests.streaming.serving import wait_until

GPU = torch.device("cuda", 1)


def doubled(items, lock, log, name):
    """A chain of two gadgets behind one source, as `run` wraps them."""

    def gadget(source):
        for item in source:
            log.append((name, "begins"))
            log.append((name, "ends"))
            yield 2 * item

    stream = items
    for _ in range(2):
        stream = Computing(gadget(Waiting(stream, lock)), lock)
    return stream


def test_output_is_the_gadgets_own():
    """Taking turns changes nothing in what comes out."""
    assert list(doubled(range(4), threading.Lock(), [], "a")) == [0, 4, 8, 12]


def test_lock_is_free_while_lines_are_awaited():
    """A scan whose next line does not come must not keep the others waiting."""
    lock, waits, go_on = threading.Lock(), threading.Event(), threading.Event()

    def slow_scanner():
        yield 1
        waits.set()
        go_on.wait(20)
        yield 2

    results = []
    thread = threading.Thread(target=lambda: results.extend(doubled(slow_scanner(), lock, [], "slow")))
    thread.start()
    assert waits.wait(20)
    assert list(doubled(range(3), lock, [], "fast")) == [0, 4, 8]
    go_on.set()
    thread.join(20)
    assert results == [4, 8]


def test_lock_comes_back_after_a_failure():
    """A gadget that raises lets go."""
    lock = threading.Lock()

    def fails():
        yield 1
        raise KeyError("gadget")

    with pytest.raises(KeyError):
        list(doubled(fails(), lock, [], "a"))
    assert lock.acquire(blocking=False)


def hold(folder, holds, release):
    lock = DeviceLock(GPU, folder)
    lock.acquire()
    holds.set()
    release.wait(20)


def test_device_lock_is_dropped_at_death(tmp_path):
    """Another process that holds the GPU and is killed does not block it for ever."""
    context = multiprocessing.get_context("spawn")
    holds, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, holds, release))
    process.start()
    assert holds.wait(60)
    process.kill()
    process.join()
    lock = DeviceLock(GPU, tmp_path)
    lock.acquire()
    lock.release()


@pytest.fixture
def impatient(monkeypatch):
    """Speak every millisecond."""
    monkeypatch.setattr(turns, "SECONDS_BETWEEN_WORDS", 0.001)


def test_who_waits_for_its_turn_says_so(tmp_path, impatient):
    """Again and again while another holds the GPU, and no more once it is ours."""
    told, enough = [], threading.Event()

    def tell():
        told.append(1)
        if len(told) == 3:
            enough.set()

    n_threads = threading.active_count()
    with DeviceLock(GPU, tmp_path) as other, DeviceLock(GPU, tmp_path, still_waiting=tell) as lock:
        lock.acquire()
        lock.release()
        assert not told  # it was free
        other.acquire()
        waiting = threading.Thread(target=lock.acquire)
        waiting.start()
        assert enough.wait(20)
        assert waiting.is_alive()
        other.release()
        waiting.join(20)
        assert not waiting.is_alive()
        wait_until(lambda: threading.active_count() <= n_threads)


def test_who_waits_for_ever_falls_silent(tmp_path, impatient, monkeypatch):
    """Else a server would wait with it for a process that hangs."""
    monkeypatch.setattr(turns, "LONGEST_TOLD_WAIT", 0.01)
    with DeviceLock(GPU, tmp_path, still_waiting=lambda: None) as lock:
        telling = threading.Thread(target=lock._tell, args=(threading.Event(),), daemon=True)
        telling.start()
        telling.join(20)
        assert not telling.is_alive()


def test_missing_lock_file_is_said(tmp_path):
    """A container without a folder for temporary files."""
    with pytest.raises(PipelineError, match=r"^cuda:1: the file kband-\d+-cuda1.lock, .* \(No such file or directory"):
        DeviceLock(GPU, tmp_path / "nowhere")


@dataclass
class OnGpu:
    """A gadget that computes on a GPU, as far as its host can see."""

    accepts: ClassVar[tuple[type, ...]] = (ReconBuffer,)
    computes_on: ClassVar[torch.device] = GPU

    def label(self):
        return "OnGpu"

    def process(self, items):
        yield from items


def test_scans_leave_no_descriptor_behind(tmp_path, monkeypatch):
    """A warm worker runs a thousand of them, and may have 1,024; also of those that nobody hears out."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pipeline = SimpleNamespace(open=lambda scan: None, gadgets=[OnGpu()])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert list(run(pipeline, None, [1, 2], Verdict())) == [1, 2]
        unheard = run(pipeline, None, [1, 2], Verdict())
        assert next(unheard) == 1
        unheard.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert [path.name for path in tmp_path.iterdir()] == [f"kband-{os.getuid()}-cuda1.lock"]
