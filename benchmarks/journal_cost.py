"""Lines per second from one socket to the next, with and without a journal, and with a memory-mapped file instead."""

from __future__ import annotations

import mmap
import os
import socket
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import ismrmrd
import numpy as np
from measure import interleave, print_conditions, print_table

from pipelines.hosts.journal import Journal
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import encode_line
from pipelines.protocol.wire import Wire

FORWARDED, JOURNALLED, MAPPED, DELETED = "forwarded", "and journalled", "and written to a mapped file", "files deleted"
STEP = 64 << 20


class MappedFile:
    """The other way to survive a kill: a mapped file that grows in steps, each message's number written last."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self._size = self._at = 0

    def append(self, message: Message) -> None:
        """Write a message."""
        if self._at + message.size > self._size:
            self._size += STEP
            os.ftruncate(self._descriptor, self._size)
            self._map = mmap.mmap(self._descriptor, self._size)
        at = self._at + 2
        for part in message.parts:
            self._map[at : at + len(part)] = part
            at += len(part)
        self._map[self._at : self._at + 2] = message.id.to_bytes(2, "little")
        self._at = at

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._descriptor)


@click.command()
@click.option("--repeats", default=15, show_default=True)
@click.option("--lines", "n_lines", default=2000, show_default=True)
@click.option("--coils", default=32, show_default=True)
@click.option("--samples", default=512, show_default=True)
@click.option("--folder", type=click.Path(exists=True, file_okay=False), help="Where the journals go, if not to /tmp.")
def main(repeats: int, n_lines: int, coils: int, samples: int, folder: str | None) -> None:
    """Time the front thread of a server: read a line, keep it, send it on. Sender and receiver are processes."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((coils, 2 * samples), np.float32).view(np.complex64)
    line = encode_line(ismrmrd.Acquisition.from_array(data))
    print_conditions(
        f"{n_lines} lines of {coils} coils x {samples} samples ({line.size:,} bytes) over two socket pairs, sender and "
        f"receiver in processes of their own; journals in the page cache; {repeats} repeats in turns"
    )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        cases: dict[str, Callable[[], object]] = {
            FORWARDED: lambda: _forward(line, n_lines, lambda message: None),
            JOURNALLED: lambda: _journalled(line, n_lines, Path(place)),
            MAPPED: lambda: _mapped(line, n_lines, Path(place)),
            DELETED: lambda: _empty(Path(place)),  # on nobody's account
        }
        seconds = interleave(cases, repeats)
    rows = []
    for name in (FORWARDED, JOURNALLED, MAPPED):
        times = seconds[name]
        ratios = [time / plain for time, plain in zip(times, seconds[FORWARDED], strict=True)]
        median = statistics.median(times)
        rows.append((name, f"{n_lines / median:,.0f}", f"{1e6 * median / n_lines:.1f}",
                     f"{statistics.median(ratios):.2f}", f"{min(times) / min(seconds[FORWARDED]):.2f}"))  # fmt: skip
    print_table(("", "lines/s", "µs per line", "median ratio in turn", "ratio of minima"), rows)


def _journalled(line: Message, n_lines: int, folder: Path) -> None:
    journal = Journal.begin(folder, "benchmark", "<ismrmrdHeader/>")
    _forward(line, n_lines, journal.append)
    journal.end({})
    if journal.problem:
        raise click.ClickException(journal.problem)


def _mapped(line: Message, n_lines: int, folder: Path) -> None:
    file = MappedFile(folder / "mapped")
    _forward(line, n_lines, file.append)
    file.close()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _forward(line: Message, n_lines: int, keep: Callable[[Message], None]) -> None:
    """Read all lines from a sender, keep each, and send it to a receiver."""
    sender, incoming = socket.socketpair()
    outgoing, receiver = socket.socketpair()
    children = [_child(_send, sender, line, n_lines), _child(_drain, receiver)]
    sender.close()
    receiver.close()
    source, target = Wire(incoming), Wire(outgoing)
    while (message := source.read()).id != Id.CLOSE:
        keep(message)
        target.send(message)
    outgoing.shutdown(socket.SHUT_WR)
    for child in children:
        os.waitpid(child, 0)
    source.close()
    target.close()


def _child(work: Callable[..., None], *arguments: object) -> int:
    process = os.fork()
    if process == 0:
        try:
            work(*arguments)
        finally:
            os._exit(0)
    return process


def _send(connection: socket.socket, line: Message, n_lines: int) -> None:
    whole = b"".join((line.id.to_bytes(2, "little"), *line.parts))
    for _ in range(n_lines):
        connection.sendall(whole)
    connection.sendall(int(Id.CLOSE).to_bytes(2, "little"))


def _drain(connection: socket.socket) -> None:
    space = bytearray(1 << 20)
    while connection.recv_into(space):
        pass


if __name__ == "__main__":
    main()
