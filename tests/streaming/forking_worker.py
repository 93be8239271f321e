"""A worker that starts a process of its own, which holds all that it holds, and does nothing more."""

import os
import signal
import socket
import sys

from pipelines.hosts.worker_protocol import READY

if __name__ == "__main__":
    is_parent = os.fork() > 0
    signal.alarm(60)  # if a test fails that should end both
    if is_parent:
        socket.socket(fileno=int(sys.argv[1])).sendall(READY)
    signal.pause()
