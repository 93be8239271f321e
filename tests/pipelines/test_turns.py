"""Scans take turns on a GPU, and none waits for another's lines."""

import multiprocessing
import threading

import pytest
import torch

from pipelines.turns import Computing, DeviceLock, Waiting


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
    lock = DeviceLock(torch.device("cuda", 1), folder)
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
    lock = DeviceLock(torch.device("cuda", 1), tmp_path)
    lock.acquire()
    lock.release()
