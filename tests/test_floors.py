"""Who may import what (one house, three floors), and what every file keeps to."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("kband_core", "gadgets", "pipelines", "tests", "benchmarks")
FILES = [path.relative_to(ROOT) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]

MAY_IMPORT = {
    "kband_core": {"kband_core", "torch", "numpy"},
    "gadgets": {"kband_core", "gadgets", "torch", "numpy", "ismrmrd", "pydantic"},
}
EXCEPTIONS = {
    "kband_core/nufft_engines.py": {"finufft", "cufinufft"},  # trajectories only
    "kband_core/patterns.py": {"sigpy"},  # Poisson-disc masks, in training only
    "kband_core/recorded.py": {"threading"},  # what a GPU has recorded is one place in memory for all threads
    "kband_core/model_card.py": {"pydantic", "yaml"},
    "kband_core/plain_yaml.py": {"yaml"},
    "kband_core/model_weights.py": {"safetensors"},  # the one place where weights are read and written
    "kband_core/training/recipe.py": {"pydantic"},
    "kband_core/training/recipe_section.py": {"pydantic", "yaml"},
    "kband_core/training/lines/recipe.py": {"pydantic"},
    "kband_core/training/water_fat/recipe.py": {"pydantic"},
    "kband_core/training/dataset.py": {"h5py"},
    "kband_core/training/simulation/anatomy/files.py": {"nibabel"},  # volumes of real heads, in training only
    "gadgets/scan.py": {"defusedxml", "xsdata"},  # the one place where a header is parsed
}
HOST_BUSINESS = {"socket", "threading", "xml"}  # of the standard library, but for the third floor only
LONGEST = 250  # lines
SAYS_NOTHING = {"utils", "helpers", "common", "misc", "base", "manager"}


def imports(source: str) -> set[str]:
    """Top-level names of all absolute imports, those inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def flaws(path: Path, source: str) -> list[str]:
    """What is wrong with a Python file of this repository."""
    found, tree, n_lines = [], ast.parse(source), len(source.splitlines())
    if path.parts[0] in MAY_IMPORT:
        allowed = MAY_IMPORT[path.parts[0]] | EXCEPTIONS.get(path.as_posix(), set())
        strangers = imports(source) - allowed - (sys.stdlib_module_names - HOST_BUSINESS)
        found += [f"imports {name}" for name in sorted(strangers)]
    if n_lines > LONGEST:
        found.append(f"has {n_lines} lines")
    if tree.body and not ast.get_docstring(tree):
        found.append("has no docstring")
    if SAYS_NOTHING & {path.stem, *path.parts[:-1]}:
        found.append("has a name that says nothing")
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if path.parts[0] != "benchmarks" and any(isinstance(func, ast.Name) and func.id == "print" for func in calls):
        found.append("prints")
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_file_keeps_to_its_floor(path):
    """Mathematics know no stream, gadgets know no host: else neither can be tested or reused without the other."""
    assert flaws(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", [path for path in EXCEPTIONS if path.startswith("kband_core/")])
def test_readme_of_the_core_names_what_it_imports(path):
    """Who reads that mathematics stand here must read in one row of its table where they do not, and for what."""
    module = path.removeprefix("kband_core/").removesuffix(".py").replace("/", ".")
    rows = [row for row in (ROOT / "kband_core/README.md").read_text().splitlines() if row.startswith("|")]
    named = {f"`{name}`" for name in (module, *EXCEPTIONS[path])}
    assert any(all(name in row for name in named) for row in rows)


MADE_UP = {
    ("kband_core/a.py", "import torch.nn, math\nfrom kband_core.axes import b"): [],
    ("kband_core/a.py", "import gadgets.items\nfrom pipelines import run"): ["imports gadgets", "imports pipelines"],
    ("kband_core/a.py", "def f():\n    import sigpy"): ["imports sigpy"],
    ("kband_core/patterns.py", "import sigpy.mri"): [],
    ("gadgets/a.py", "from . import items\nfrom kband_core import axes\nimport ismrmrd.xsd"): [],
    ("gadgets/a.py", "import gadgetron, h5py"): ["imports gadgetron", "imports h5py"],
    ("gadgets/stock/a.py", "import threading\nfrom xml.etree import ElementTree"): ["imports threading", "imports xml"],
    ("gadgets/scan.py", "import xsdata, defusedxml, pipelines"): ["imports pipelines"],
    ("pipelines/a.py", "import socket, gadgetron, gadgets\nclick.print('')"): [],
    ("pipelines/a.py", "print('')"): ["prints"],
    ("benchmarks/a.py", "print('')"): [],
    ("tests/helpers.py", "import numpy"): ["has a name that says nothing"],
    ("pipelines/utils/a.py", "import numpy"): ["has a name that says nothing"],
    ("tests/a.py", "\n" * 249): ["has 251 lines"],
}


@pytest.mark.parametrize(("file", "sentences"), MADE_UP.items(), ids=range(len(MADE_UP)))
def test_flaws_are_found(file, sentences):
    """A guard that cannot fail guards nothing."""
    path, source = file
    assert flaws(Path(path), f'"""Docstring."""\n{source}\n') == sentences


def test_a_missing_docstring_is_found():
    """An empty file needs none."""
    assert flaws(Path("tests/a.py"), "import numpy") == ["has no docstring"]
    assert flaws(Path("tests/__init__.py"), "") == []
