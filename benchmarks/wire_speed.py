"""Acquisitions per second through our wire reader, Gadgetron's, and a bare socket copy."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import click
import ismrmrd
import numpy as np
from gadgetron.external.connection import Connection
from gadgetron.external.constants import GadgetMessageIdentifier
from gadgetron.external.readers import read, read_acquisition
from measure import interleave, print_conditions, print_table

from pipelines.protocol.messages import decode_line, encode_line
from pipelines.protocol.wire import Wire

BARE, OURS, RAW, THEIRS = "bare copy of the bytes", "ours, lines decoded", "ours, messages only", "gadgetron's"


@click.command()
@click.option("--repeats", default=11, show_default=True)
@click.option("--lines", "n_lines", default=3000, show_default=True)
@click.option("--coils", default=32, show_default=True)
@click.option("--samples", default=512, show_default=True)
def main(repeats: int, n_lines: int, coils: int, samples: int) -> None:
    """Time readers of one loopback connection; another process sends the same bytes to each."""
    data = np.random.default_rng(0).standard_normal((coils, samples, 2)).astype(np.float32).view(np.complex64)[..., 0]
    message = encode_line(ismrmrd.Acquisition.from_array(data))
    line = message.id.to_bytes(2, "little") + message.body
    contestants = {
        BARE: lambda connection: copy(connection, n_lines * len(line)),
        RAW: lambda connection: read_ours(connection, n_lines, lambda _: None),
        OURS: lambda connection: read_ours(connection, n_lines, decode_line),
        THEIRS: lambda connection: read_theirs(connection, n_lines),
    }
    print_conditions(
        f"{coils} coils × {samples} samples, {len(line):,} bytes a line, {n_lines:,} lines over loopback TCP from "
        f"another process, {repeats} repeats in turns; lines/s from the medians"
    )
    seconds = interleave({name: served(line, n_lines, reader) for name, reader in contestants.items()}, repeats)
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    rows = [
        (name, f"{n_lines / median[name]:,.0f}", f"{1e6 * median[name] / n_lines:.1f}",
         f"{median[BARE] / median[name]:.2f}", f"{median[THEIRS] / median[name]:.2f}")
        for name in contestants
    ]  # fmt: skip
    print_table(("reader", "lines/s", "µs a line", "speed to bare", "speed to gadgetron's"), rows)


def served(line: bytes, n_lines: int, reader: Callable[[socket.socket], None]) -> Callable[[], None]:
    """A contestant: connect to a process that sends `n_lines`, and read them."""

    def contest() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            child = os.fork()
            if child == 0:
                sender = socket.create_connection(listener.getsockname())
                for _ in range(n_lines):
                    sender.sendall(line)
                os._exit(0)
            connection, _ = listener.accept()
            with connection:
                reader(connection)
            os.waitpid(child, 0)

    return contest


def copy(connection: socket.socket, n_bytes: int) -> None:
    """Receive into one buffer, again and again."""
    buffer = bytearray(1 << 17)
    while n_bytes > 0:
        n_bytes -= connection.recv_into(buffer)


def read_ours(connection: socket.socket, n_lines: int, use: Callable[..., object]) -> None:
    """Read with `Wire`."""
    wire = Wire(connection)
    for _ in range(n_lines):
        use(wire.read())
    wire.close()


def read_theirs(connection: socket.socket, n_lines: int) -> None:
    """Read as gadgetron's `Connection` does: number, then acquisition, with its own socket reader."""
    source = Connection.SocketWrapper(connection)
    for _ in range(n_lines):
        read(source, GadgetMessageIdentifier)
        read_acquisition(source)


if __name__ == "__main__":
    main()
