"""A server in this process and its clients, for the benchmarks that send scans through sockets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
import ismrmrd

from pipelines.hosts.server import Server, Settings
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import encode_line, text_message, text_of
from pipelines.protocol.wire import Wire
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

START_SECONDS, ANSWER_SECONDS = 120.0, 120.0
CLOSE = Message(Id.CLOSE)


@dataclass(frozen=True)
class ScanMessages:
    """A scan as its client sends it, and how many images must come back."""

    beginning: tuple[Message, ...]
    lines: tuple[Message, ...]
    n_images: int

    @classmethod
    def simulate(cls, protocol: Protocol, pipeline: str) -> ScanMessages:
        """Simulate the scan of `protocol` for an installed pipeline."""
        header, lines, reference = simulate_scan(protocol)
        config = Message(Id.CONFIG_FILE, (pipeline.encode().ljust(1024, b"\0"),))
        return cls((config, text_message(Id.HEADER, header)), tuple(map(encode_line, lines)), len(reference))


@dataclass
class Answer:
    """What came back: images, failures, and the seconds from the last line to the last image."""

    images: list[ismrmrd.ImageHeader]
    failures: list[str]
    latency: float


@contextmanager
def running_server(settings: Settings) -> Iterator[Server]:
    """Run a server until the block ends; all its workers are ready when it begins. It keeps no scans."""
    server = Server(settings)
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="accept")
    thread.start()
    try:
        wait_until_idle(server)
        yield server
    finally:
        server.stop(5)
        thread.join()


def wait_until_idle(server: Server) -> None:
    """Wait until no scan runs and all workers are back."""
    deadline = time.monotonic() + START_SECONDS
    while (state := server.state())["scans_running"] or state["workers_idle"] < state["workers"]:
        if time.monotonic() > deadline:
            raise click.ClickException(f"the server does not come to rest: {state}")
        time.sleep(0.05)


def connect(port: int) -> Wire:
    """Open a connection to the server."""
    return Wire(socket.create_connection(("localhost", port), timeout=ANSWER_SECONDS))


def run_scan(port: int, scan: ScanMessages, pause: float = 0.0) -> Answer:
    """Send a scan, with a pause before its last line, and read the answer to its CLOSE. Raises `OSError`."""
    wire, last_line, answered = connect(port), [], time.monotonic()
    answer = Answer([], [], float("nan"))
    sender = threading.Thread(target=_send, args=(wire, scan, pause, last_line), daemon=True)
    sender.start()
    try:
        while (message := wire.read()).id != Id.CLOSE:
            if message.id == Id.IMAGE:
                answered = time.monotonic()
                answer.images.append(ismrmrd.ImageHeader.from_buffer_copy(bytes(message.parts[0])))
            elif message.id == Id.TEXT and text_of(message).startswith("ERROR"):
                answer.failures.append(text_of(message)[8:])
        sender.join()
    finally:
        wire.close()
    if last_line:
        answer.latency = answered - last_line[0]
    return answer


def _send(wire: Wire, scan: ScanMessages, pause: float, last_line: list[float]) -> None:
    try:
        for message in (*scan.beginning, *scan.lines[:-1]):
            wire.send(message)
        time.sleep(pause)
        wire.send(scan.lines[-1])
        last_line.append(time.monotonic())
        wire.send(CLOSE)
    except OSError:
        return  # whoever reads learns of it


def reset(wire: Wire) -> None:
    """Vanish, as a machine does that loses its power."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
