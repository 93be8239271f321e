"""Bytes from the server to the page's process: pieces, each behind its length."""

from __future__ import annotations

import socket
import struct
from typing import BinaryIO

from pipelines.protocol.framing import Buffer

LENGTH = struct.Struct("<Q")


def write_frames(connection: socket.socket, *pieces: Buffer) -> None:
    """Send pieces. Raises `OSError`, `TimeoutError` among them, if they are not taken."""
    for piece in pieces:
        connection.sendall(LENGTH.pack(len(piece)))
        connection.sendall(piece)


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read a piece; None at the end of the stream, in the middle of a piece as well."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    piece = stream.read(length)
    return piece if len(piece) == length else None
