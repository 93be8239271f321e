"""A server to test: with a journal that is kept in memory, and peers that speak by raw bytes."""

from __future__ import annotations

import functools
import io
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import ismrmrd
import numpy as np
from gadgetron.types.image_array import read_image_array

from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.hosts.events import Subscriber
from pipelines.hosts.journal import Journals
from pipelines.hosts.server import Server, Settings
from pipelines.protocol.framing import Id, Message, WireError
from pipelines.protocol.messages import decode_image, text_of
from pipelines.protocol.wire import Wire
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.streaming import bytes_by_hand as by_hand

LONG = 60.0  # seconds: what a busy machine may need for what takes one


class Journal:
    """What was kept of one scan, and its verdict once it has ended."""

    def __init__(self, scan_id: str, header: str) -> None:
        self.scan_id, self.header, self.problem = scan_id, header, None
        self.numbers: list[int] = []
        self.verdict: dict[str, Any] | None = None

    def append(self, message: Message) -> None:
        self.numbers.append(message.id)

    def end(self, verdict: dict[str, Any]) -> None:
        self.verdict = verdict

    @property
    def n_lines(self) -> int:
        return self.numbers.count(Id.ACQUISITION)


class Peer:
    """A raw socket to a server. What the server says is read in a thread, as long as the peer `listens`."""

    def __init__(self, port: int, *, listens: bool = True) -> None:
        self.socket = socket.create_connection(("localhost", port), timeout=LONG)
        self.messages: list[Message] = []
        self.ending = ""
        self._wire = Wire(self.socket)
        self._reader = threading.Thread(target=self._read, daemon=True, name="peer")
        if listens:
            self.listen()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader.ident is None:
            self._wire.close()
            return
        with suppress(OSError):  # the server was first
            self.socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(LONG)
        self._wire.close()

    def send(self, *messages: bytes) -> Peer:
        for message in messages:
            self.socket.sendall(message)
        return self

    def listen(self) -> Peer:
        """Start to read, late."""
        self._reader.start()
        return self

    def hang_up(self) -> Peer:
        """Say that nothing more comes, without a CLOSE; still listen."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def vanish(self) -> None:
        """Reset the connection, as a machine does whose process was killed with unread data."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)
        if self._reader.ident is not None:
            self._reader.join(LONG)
        self._wire.close()

    def wait_for(self, number: int) -> None:
        """Wait until a message of this number has come."""
        wait_until(lambda: number in self.numbers())

    def hear_out(self) -> Peer:
        """Read to the server's end; it must be exactly one CLOSE, then the end of the stream."""
        self._reader.join(LONG)
        assert not self._reader.is_alive(), f"the server does not hang up; it said {self.numbers()}"
        assert self.numbers().count(Id.CLOSE) == 1, (self.numbers(), self.ending)
        assert self.messages[-1].id == Id.CLOSE
        assert "0 of 2 bytes" in self.ending
        return self

    def numbers(self) -> list[int]:
        return [int(message.id) for message in self.messages]

    def bodies(self, number: int) -> list[Message]:
        return [message for message in self.messages if message.id == number]

    def images(self) -> list[ismrmrd.Image]:
        return [decode_image(message) for message in self.bodies(Id.IMAGE)]

    def arrays(self) -> list[np.ndarray]:
        """Pixels of the image arrays, [slice s n channel z y x], read by Gadgetron's library."""
        read = [read_image_array(io.BytesIO(message.body)) for message in self.bodies(Id.IMAGE_ARRAY)]
        return [array.data.transpose() for array in read]

    def sentences(self) -> list[str]:
        """All that told of a failure: texts of level ERROR, and error messages."""
        texts = [text_of(message) for message in self.bodies(Id.TEXT)]
        failures = [text.removeprefix("ERROR   ") for text in texts if text.startswith("ERROR   ")]
        return failures + [text_of(message) for message in self.bodies(Id.ERROR)]

    def sentence(self) -> str:
        """The one that told of the failure."""
        sentences = self.hear_out().sentences()
        assert len(sentences) == 1, sentences
        return sentences[0]

    def _read(self) -> None:
        try:
            while True:
                self.messages.append(self._wire.read())
        except (WireError, OSError, ValueError) as error:
            self.ending = str(error)


class Served:
    """A running server with all workers ready, and the journals of its scans."""

    def __init__(self, settings: Settings, *subscribers: Subscriber) -> None:
        self.journals: list[Journal] = []
        self.server = Server(settings, Journals(self._open), *subscribers)
        self.n_workers = settings.n_workers
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True, name="accept")
        self._thread.start()

    def connect(self, **options: bool) -> Peer:
        return Peer(self.server.port, **options)

    def wait_until_idle(self) -> None:
        """Wait until no scan runs and all workers are back."""
        wait_until(lambda: self.server.state()["scans_running"] == 0)
        wait_until(lambda: self.server.state()["workers_idle"] == self.n_workers)

    def check(self) -> None:
        """Let the server serve a tiny scan."""
        header, lines = tiny_scan()
        with self.connect() as peer:
            peer.send(by_hand.config_file("sense"), by_hand.text(3, header), *lines, by_hand.CLOSE).hear_out()
            assert peer.sentences() == []
            assert_same_images(peer.images(), tiny_images())

    def last_journal(self) -> Journal:
        """The journal of the latest scan, ended."""
        wait_until(lambda: self.journals and self.journals[-1].verdict is not None)
        return self.journals[-1]

    def stop(self) -> None:
        self.server.stop(0)
        self._thread.join(LONG)

    def _open(self, scan_id: str, header: str, pipeline: str) -> Journal:
        self.journals.append(Journal(scan_id, header))
        return self.journals[-1]


@contextmanager
def serving(*subscribers: Subscriber, **settings: Any) -> Iterator[Served]:
    """Run a server with these settings; what happens to its scans is told to `subscribers`."""
    root = str(Path(__file__).parents[2])  # for workers that are modules of the tests
    with mock.patch.dict(os.environ, {"PYTHONPATH": root}):
        served = Served(Settings(**{"port": 0, "n_workers": 2, **settings}), *subscribers)
        try:
            served.wait_until_idle()
            yield served
        finally:
            served.stop()


def wait_until(happened: Callable[[], Any], seconds: float = LONG) -> None:
    """Wait for what must happen soon, however busy the machine is."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def line_bytes(line: ismrmrd.Acquisition) -> bytes:
    """An acquisition as a scanner sends it."""
    return struct.pack("<H", 1008) + bytes(line.getHead()) + line.traj.tobytes() + line.data.tobytes()


@functools.cache
def tiny_scan() -> tuple[bytes, list[bytes]]:
    """Header and lines of the tiny scan, as they are sent."""
    header, lines, _ = tiny()
    return header.encode(), [line_bytes(line) for line in lines]


@functools.cache
def tiny_images() -> list[ismrmrd.Image]:
    """Its images, reconstructed in this process."""
    header, lines, _ = tiny()
    return reconstructed(header, lines)


def reconstructed(header: str, lines: Sequence[ismrmrd.Acquisition], name: str = "sense") -> list[ismrmrd.Image]:
    """Images of an installed pipeline, run in this process."""
    return list(run(Pipeline.from_xml(installed_xml(name)), Scan.from_xml(header), lines, Verdict()))


def assert_same_images(images: Sequence[ismrmrd.Image], expected: Sequence[ismrmrd.Image]) -> None:
    """The same pixels and attributes, in order: a server adds nothing and loses nothing."""
    assert len(images) == len(expected)
    for image, other in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image.data, other.data)
        assert image.attribute_string == other.attribute_string
        assert (image.slice, image.image_index) == (other.slice, other.image_index)


@functools.cache
def tiny() -> tuple[str, list[ismrmrd.Acquisition], list[ismrmrd.Image]]:
    """One slice of 32², two coils, all lines."""
    return simulate_scan(Protocol(matrix=32, n_coils=2, n_slices=1, acceleration=1, snr=200.0, noise_scan=False))
