"""A stand-in for Gadgetron: starts a module as its server does, sends a scan, and notes all that comes back."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import torch
from gadgetron.types.image_array import read_image_array

from gadgets.items import ImageArray
from pipelines.protocol.framing import Id, Message, WireError
from pipelines.protocol.wire import Wire
from tests.streaming import bytes_by_hand as by_hand

WITHOUT_STDIN = ("sh", "-c", 'exec "$@" <&-', "sh")  # Gadgetron closes it: the socket becomes descriptor 0


class Parent:
    """One module process and the connection to it. `received`: messages, and whether CLOSE had been sent by then."""

    def __init__(self, folder: Path, configuration: str, header: str, stdin: int | None = None) -> None:
        self.received: list[tuple[Message, bool]] = []
        self.ending: WireError | None = None
        self._closed = False
        module = [sys.executable, "-m", "gadgetron", "{port}", "pipelines.hosts", "external"]
        with socket.create_server(("127.0.0.1", 0)) as server:
            module[3] = str(server.getsockname()[1])
            command = module if stdin is not None else [*WITHOUT_STDIN, *module]
            self.log = (folder / "module.log").open("w+")
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=stdin, stdout=self.log, stderr=self.log,
                env={**os.environ, "GADGETRON_EXTERNAL_LOG_LEVEL": "INFO"},
            )  # fmt: skip
            server.settimeout(30)
            self.connection, _ = server.accept()
        self.connection.settimeout(60)
        self._wire = Wire(self.connection)
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send(by_hand.text(2, configuration.encode()), by_hand.text(3, header.encode()))

    def __enter__(self) -> Parent:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.log.close()

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.connection.sendall(message)

    def close(self) -> int:
        """Send CLOSE, wait until the module has hung up and gone, return its exit code."""
        self._closed = True
        self.send(by_hand.CLOSE)
        self._reader.join(60)
        assert not self._reader.is_alive(), "the module neither answers nor hangs up"
        assert "0 of 2 bytes" in str(self.ending)  # no half message
        return self.process.wait(60)

    def wait_for(self, n_messages: int) -> None:
        """Wait until that many messages have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.received) >= n_messages, 60)

    def die(self, *, reset: bool) -> None:
        """Hang up, as a process does that ends; with a reset where it has left bytes unread."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self._reader.join(60)
        self._wire.close()

    def numbers(self) -> list[int]:
        return [message.id for message, _ in self.received]

    def arrays(self) -> list[ImageArray]:
        """The image arrays, read by Gadgetron's library."""
        found = []
        for message, _ in self.received:
            if message.id == Id.IMAGE_ARRAY:
                array = read_image_array(io.BytesIO(message.body))
                data = array.data.transpose().copy()
                found.append(ImageArray(torch.from_numpy(data), array.headers.transpose(), np.array(array.meta)))
        return found

    def _read(self) -> None:
        try:
            while True:
                message = self._wire.read()
                with self._news:
                    self.received.append((message, self._closed))
                    self._news.notify_all()
        except (WireError, OSError) as error:
            self.ending = error
