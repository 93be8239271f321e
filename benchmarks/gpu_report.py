"""All that claims to use a GPU, tried on one: one command, one table, a bounded number of minutes.

    python benchmarks/gpu_report.py --minutes 8 -o FOLDER

Nothing need be installed but what README.md lists, and nothing is fetched. Parts run in the order of their worth, in a
process of their own that is ended when its time is over: what fails, hangs or crashes there is a row with one sentence,
and the next part begins in a fresh one. Both tables, `gpu_report.md` and `gpu_report.json`, are written anew behind
every part.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where nothing is installed, this checkout serves

import torch
from gpu_parts import PARTS, Part
from gpu_parts.here import Here
from gpu_parts.row import COLUMNS, Row

LEAST = 5.0  # s, with fewer left no part is begun
PATIENCE = 2.0  # s, for a process to end by itself


def answer(connection: Connection, device: str, small: bool) -> None:
    """Be the process that computes: take parts, send rows, at the end of each None, or a sentence and no more."""
    try:
        while (part := connection.recv()) is not None:
            for row in part.rows(Here(torch.device(device), small)):
                connection.send(row)
            connection.send(None)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a row of the table
        connection.send(_sentence(error))


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


class Worker:
    """The process that computes, started anew whenever it has failed."""

    def __init__(self, device: str, small: bool) -> None:
        self._told = device, small
        self._process: multiprocessing.process.BaseProcess | None = None

    def rows(self, part: Part, seconds: float) -> Iterator[Row]:
        """Yield the rows of a part as they come; the last one tells what went wrong, if anything did."""
        if self._process is None:
            self._start()
        self._connection.send(part)
        end = time.monotonic() + seconds
        while self._connection.poll(max(end - time.monotonic(), 0)):
            try:
                said = self._connection.recv()
            except EOFError:
                self.end()
                yield Row(part.name, flaw="the process died")
                return
            if isinstance(said, Row):
                yield said
                continue
            if said is not None:
                self.end()
                yield Row(part.name, flaw=said)
            return
        self.end()
        yield Row(part.name, flaw=f"not finished within {seconds:.0f} s")

    def end(self) -> None:
        """Let the process end, or end it, whatever it does."""
        if self._process is None:
            return
        with suppress(OSError):  # it has ended
            self._connection.send(None)
        self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()
        self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=answer, args=(other, *self._told))
        self._process.start()
        other.close()


def machine(device: str) -> dict[str, str]:
    """What it ran on."""
    told = {"date": f"{datetime.now():%Y-%m-%d %H:%M}", "card": "none, CPU only", "torch": torch.__version__,
            "python": platform.python_version(), "cores": str(len(os.sched_getaffinity(0)))}  # fmt: skip
    if device != "cpu":
        card = torch.cuda.get_device_properties(torch.device(device))
        told |= {"card": f"{card.name}, {card.total_memory / 2**30:.0f} GiB", "driver": _driver(),
                 "CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}  # fmt: skip
    return told


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def write(folder: Path, told: dict[str, str], rows: list[Row]) -> None:
    """Write both tables."""
    content = {"machine": told, "rows": [asdict(row) | {"verdict": row.verdict()} for row in rows]}
    (folder / "gpu_report.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    table = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 2), "---"), *(row.cells() for row in rows)]
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in table]
    head = " · ".join(f"{key} {value}" for key, value in told.items())
    (folder / "gpu_report.md").write_text(f"{head}\n\n" + "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for both tables")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no part goes on (8)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to see that it runs (cuda)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, of which no aim tells anything")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], metavar="PART",
                        help=f"of {', '.join(part.name for part in PARTS)} (all)")  # fmt: skip
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"no device '{options.device}': torch {torch.__version__} sees no GPU")
    options.output.mkdir(parents=True, exist_ok=True)
    told, rows, worker = machine(options.device), [], Worker(options.device, options.small)
    try:
        for part in (part for part in PARTS if not options.only or part.name in options.only):
            began = time.monotonic()
            for row in rows_of(part, worker, end - began):
                rows.append(row)
                print(" | ".join(row.cells()), flush=True)
                write(options.output, told, rows)
            print(f"    {part.name}: {time.monotonic() - began:.1f} s", flush=True)
    finally:
        worker.end()


def rows_of(part: Part, worker: Worker, seconds_left: float) -> Iterator[Row]:
    """Ask a part, for as long as it may take and as there is time."""
    if seconds_left < LEAST:
        yield Row(part.name, flaw="no time was left")
    else:
        yield from worker.rows(part, min(part.seconds, seconds_left))


if __name__ == "__main__":
    main()
