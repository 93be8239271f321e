"""Which Python a Gadgetron started here would run for `<execute>`, and whether that one can import us."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.installation.check import Check
from pipelines.packages import OUR_FOLDER

NAMES = ("python", "python3")  # in the order in which Gadgetron tries them
OLDEST = (3, 6)
SECONDS = 60.0
WHAT_TO_DO = ("activate the environment that holds kband before Gadgetron starts, or use sense_warm and grappa_warm "
              "with kband serve")  # fmt: skip
DISTRIBUTIONS = ("kband", "torch", "numpy", "ismrmrd", "gadgetron")

# Runs there, in whatever Python 3.6 or newer it is, so it says nothing that is younger.
PROBE = """
import json, platform, sys
failed, versions, folder = {}, {}, None
for name in ("gadgetron", "ismrmrd", "torch", "pipelines.hosts.gadgetron_module"):
    try:
        __import__(name)
    except Exception as error:
        failed[name] = " ".join(str(error).split()) or type(error).__name__
try:
    from importlib import metadata
    for name in sys.argv[1:]:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
except ImportError:
    pass
if "pipelines" in sys.modules:
    folder = getattr(sys.modules["pipelines"], "__file__", None)
facts = {"python": platform.python_version(), "prefix": sys.prefix, "executable": sys.executable,
         "failed": failed, "versions": versions, "pipelines": folder}
sys.stdout.write("\\n" + json.dumps(facts) + "\\n")
"""


def check_gadgetron_python() -> Iterator[Check]:
    """Start what Gadgetron would start for `<execute>`, in the way it does, and let it import what it needs."""
    program = find_python()
    if program is None:
        yield Check("warning", f"Gadgetron finds no python or python3 of version {'.'.join(map(str, OLDEST))} or newer "
                               f"on PATH, so <execute> cannot start; {WHAT_TO_DO}")  # fmt: skip
        return
    facts = _ask(program)
    if isinstance(facts, str):
        yield Check("warning", f"Gadgetron would start {program}, which {facts}; {WHAT_TO_DO}")
        return
    is_this = Path(facts["prefix"]).resolve() == Path(sys.prefix).resolve()
    other = "the Python that runs this" if is_this else f"not the Python {platform.python_version()} that runs this"
    yield Check("ok", f"Gadgetron would start {program}, python {facts['python']} in {facts['prefix']}, {other}")
    yield _judge(facts)


def find_python() -> str | None:
    """Find the program that Gadgetron takes: of each name the first on PATH, of these the first new enough."""
    for name in NAMES:
        program = shutil.which(name)
        if program is None:
            continue
        answer = _run([program, "--version"], os.environ)
        version = re.search(r"(\d+)\.(\d+)\.\d+", answer.stdout if answer else "")
        if version and int(version[1]) == OLDEST[0] and int(version[2]) >= OLDEST[1]:
            return program
    return None


def python_path(environment: Mapping[str, str]) -> str | None:
    """PYTHONPATH as Gadgetron extends it; as it is where no Gadgetron is found."""
    program = shutil.which("gadgetron")
    home = environment.get("GADGETRON_HOME") or (str(Path(program).resolve().parents[1]) if program else None)
    parts = [environment.get("PYTHONPATH"), str(Path(home, "share", "gadgetron", "python")) if home else None]
    return os.pathsep.join(filter(None, parts)) or None


def _ask(program: str) -> dict[str, Any] | str:
    """Facts about a Python, or what went wrong with asking it."""
    environment = dict(os.environ)
    if path := python_path(environment):
        environment["PYTHONPATH"] = path
    answer = _run([program, "-c", PROBE, *DISTRIBUTIONS], environment)
    if answer is None:
        return f"did not answer within {SECONDS:g} s"
    try:
        return json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (answer.stderr.strip() or "no message").splitlines()[-1]
        return f"ended with exit code {answer.returncode} ({last})"


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Run in an empty folder, standard input closed as Gadgetron has it; None if it takes too long."""
    closed = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command]
    with tempfile.TemporaryDirectory() as folder:
        try:
            return subprocess.run(closed, cwd=folder, env=environment, capture_output=True, text=True,
                                  errors="replace", timeout=SECONDS, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return None


def _judge(facts: dict[str, Any]) -> Check:
    if facts["failed"]:
        reasons = " nor ".join(f"{name} ({reason})" for name, reason in facts["failed"].items())
        return Check("warning", f"Gadgetron's Python cannot import {reasons}, so with <execute> a client would see "
                                f"neither image nor error; {WHAT_TO_DO}")  # fmt: skip
    there, here = facts["versions"], {name: metadata.version(name) for name in DISTRIBUTIONS}
    differences = {name: f" (here {here[name]})" if there.get(name) != here[name] else "" for name in DISTRIBUTIONS}
    listed = [f"{name} {there.get(name, 'of no version')}{difference}" for name, difference in differences.items()]
    folder = Path(facts["pipelines"]).resolve().parents[1]
    sentence = f"Gadgetron's Python imports us from {folder}: {', '.join(listed)}"
    if there.get("kband") != here["kband"]:
        return Check("warning", f"{sentence}; install this kband there, or Gadgetron runs the other one")
    return Check("ok", sentence if folder == OUR_FOLDER else f"{sentence}; this is {OUR_FOLDER}")
