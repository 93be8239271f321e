"""Programs are run from their folder, which Python then searches first."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_no_program_hides_a_package():
    """SigPy needs numba, which looks for `coverage`: a program of that name made every comparison with SigPy fail."""
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != FOLDER.resolve()]
    names = {path.stem for path in FOLDER.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(names) > 30
    hidden = {name for name in names if name in sys.stdlib_module_names or PathFinder.find_spec(name, elsewhere)}
    assert hidden == set()
