"""Importing us leaves a program's warnings as they were."""

import importlib.util
import subprocess
import sys
from pathlib import Path

# The libraries behind leave filters of their own for their own messages; one fork for each module is a fresh process.
# The core, which needs no MRD library, is imported once for all.
FRESH = """
import importlib, os, sys, warnings
import h5py, matplotlib.figure, pydantic, scipy.ndimage, torch, tqdm, xsdata.formats.dataclass.parsers
before = warnings.filters[:]
import kband_core.models, kband_core.training.trainer
assert warnings.filters == before, "kband_core"
for module in sys.argv[1:]:
    if os.fork() == 0:
        before = warnings.filters[:]
        importlib.import_module(module)
        os._exit(warnings.filters != before)
    assert os.wait()[1] == 0, module
"""
ROOT = Path(__file__).parents[2]
ROOMS = ("evaluation", "files", "pictures", "protocol", "simulation")  # what other programs may import
NEEDS_MRD2 = "mrd2_*.py" if importlib.util.find_spec("mrd") is None else ""  # of an extra that may be missing
FILES = [path for room in ROOMS for path in sorted((ROOT / "pipelines" / room).rglob("*.py"))
         if not (NEEDS_MRD2 and path.match(NEEDS_MRD2))]  # fmt: skip
MODULES = ("gadgets", *(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES))


def changes_filters(*modules):
    return subprocess.run([sys.executable, "-c", FRESH, *modules], capture_output=True, text=True)


def test_import_leaves_the_warnings_filters_alone():
    """The MRD library shows every warning of every program that imports it; `gadgets.mrd` takes that back, for all."""
    done = changes_filters(*MODULES)
    assert done.returncode == 0, done.stderr


def test_the_library_itself_does_not():
    """A guard that cannot fail guards nothing."""
    assert "AssertionError: ismrmrd" in changes_filters("ismrmrd").stderr
