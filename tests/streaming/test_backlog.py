"""What waits for a worker is bounded in memory, whatever it looks like on the wire."""

import struct
import tracemalloc

import pytest

from pipelines.hosts.backlog import Backlog
from pipelines.protocol.framing import Id
from tests.streaming import bytes_by_hand as by_hand

KINDS = {"text": (by_hand.text(5, b""), Id.TEXT), "line": (by_hand.acquisition(by_hand.random_complex(2, 3)), 1008),
         "buffer": (struct.pack("<HQ", 1023, 0), Id.RECON_DATA)}  # fmt: skip
N = 200


@pytest.mark.parametrize("kind", KINDS)
def test_small_messages_are_counted_as_what_they_take(kind):
    """An empty text is 6 bytes on the wire; a peer that sends nothing else must not fill the machine."""
    raw, number = KINDS[kind]
    wire, backlog = by_hand.feed(raw * (N + 1)), Backlog(1 << 30)
    assert wire.read().id == number  # what is made once for all
    tracemalloc.start()
    try:
        for _ in range(N):
            backlog.put(wire.read())
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert N * len(raw) < taken < backlog.n_bytes
    for _ in range(N):
        backlog.get()
    assert backlog.n_bytes == 0
