"""Do the tests of this project that need a GPU pass on it?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gpu_parts.here import Here
from gpu_parts.row import Row

ROOT = Path(__file__).parents[2]
WHAT = "tests/gpu"


def own_tests(here: Here) -> Iterator[Row]:
    """The last line that pytest says; what they ask of methods is asked by `equality` without it."""
    if not here.is_gpu:
        yield Row(WHAT, note="asked of a GPU only")
        return
    if find_spec("pytest") is None:
        yield Row(WHAT, note="pytest is missing")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", WHAT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing was said"]
    said = "; ".join([*(line for line in lines if line.startswith("FAILED")), lines[-1]])
    yield Row(WHAT, note=said) if done.returncode == 0 else Row(WHAT, flaw=said)
