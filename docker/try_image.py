#!/usr/bin/env python3
"""Whether an image serves: start it by Debian's buildah, send it scans from outside, compare with a replay here.

    python docker/try_image.py kband-server:0.1.0
    python docker/try_image.py --as-close-as 0.005 kband-gadgetron:0.1.0 kband serve --no-save

Started is what the image starts by itself, or the command behind its name. Its pixels must be those that this Python
makes of the same scans, or as close as is said, in shares of the brightest pixel; exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from gadgets.scan import Scan
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.hosts.client import Client, Target
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

START_SECONDS = 300
PIPELINES = ("sense", "grappa", "kband")
ISOLATION = os.environ.get("BUILDAH_ISOLATION", "chroot")


def buildah(*arguments: str) -> str:
    """Run buildah to its end, and return what it says."""
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def own_command(image: str) -> list[str]:
    """Return what an image starts by itself."""
    config = json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]
    return [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]


@contextmanager
def started(image: str, command: Sequence[str]) -> Iterator[int]:
    """Run a server out of an image, on ports that are free, until the caller has done; give its MRD port.

    What it says is shown if something goes wrong.
    """
    port, monitor_port = free_ports(2)
    container = buildah("from", image)
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            ["buildah", "run", "--isolation", ISOLATION, container, "--", *command,
             "--port", str(port), "--monitor-port", str(monitor_port)],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            wait_until_ready(server, monitor_port)
            yield port
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)
            buildah("rm", container)


def free_ports(n_ports: int) -> list[int]:
    """Find ports that nobody listens on."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(n_ports)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until_ready(server: subprocess.Popen[bytes], monitor_port: int) -> None:
    """Wait until a worker is warm. Raises `SystemExit` if the server ends before, or takes too long."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://localhost:{monitor_port}/ready", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):  # not yet
            time.sleep(0.2)
    raise SystemExit(f"the server is not ready after {START_SECONDS} s, or has ended")


def requests(port: int) -> Iterator[tuple[str, Target]]:
    """Ask for pipelines as Gadgetron's clients do, and as a scanner with OpenRecon does."""
    for name in PIPELINES:
        yield name, Target("localhost", port, name)
    yield "grappa", Target("localhost", port, "openrecon", dialect="fire", parameters={"config": "grappa"})


def main(image: str, command: Sequence[str], largest: float) -> None:
    """Try an image. Raises `SystemExit` if an image is missing, or its pixels differ by more than `largest`."""
    header, lines, _ = simulate_scan(Protocol(matrix=128, n_coils=8, n_slices=2, acceleration=3))
    begun = time.monotonic()
    with started(image, command or own_command(image)) as port:
        print(f"{image}: ready after {time.monotonic() - begun:.1f} s")
        for name, target in requests(port):
            images = [one.data for one in Client(target, hear=lambda _: None).run(header, lines, Verdict())]
            here = run(Pipeline.from_xml(installed_xml(name)), Scan.from_xml(header), lines, Verdict())
            differences = [difference(one, other.data) for one, other in zip(images, here, strict=True)]
            print(f"{image}: {target.name} as {target.dialect}: {differences.count(0)} of {len(differences)} images as "
                  f"here, pixels within {max(differences):.2%}")  # fmt: skip
            if max(differences) > largest:
                raise SystemExit(f"{image}: {target.name} has other pixels than {name} here")


def difference(image: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two images, as a share of the brightest pixel."""
    return float(np.abs(image.astype(float) - other.astype(float)).max() / other.max())


def arguments() -> argparse.Namespace:
    """Read the command line; what stands behind the image's name is a command, options and all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as-close-as", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    main(given.image, given.command, given.as_close_as)
