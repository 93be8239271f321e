"""`kband doctor` on the Python that Gadgetron starts: found by Gadgetron's rule, asked in Gadgetron's way."""

import json
import os
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import main
from pipelines.installation import gadgetron_python
from pipelines.installation.gadgetron_python import DISTRIBUTIONS, check_gadgetron_python, find_python, python_path
from pipelines.packages import OUR_FOLDER

BARE = f'exec "{sys.executable}" -I -S "$@"'  # no installed package can be imported
NEW = 'if [ "$1" = --version ]; then echo Python 3.12.1; exit; fi'
HERE = {name: metadata.version(name) for name in DISTRIBUTIONS}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put made-up programs on a PATH of their own: call it with their names and scripts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("PYTHONPATH", "GADGETRON_HOME"):
        monkeypatch.delenv(name, raising=False)

    def make(**scripts: str) -> Path:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return folder

    return make


def answer(**other: object) -> str:
    """The script of a Python that imports us and answers like this one, but for what is given."""
    facts = {"python": "3.12.1", "prefix": "/env", "failed": {}, "versions": HERE,
             "pipelines": str(OUR_FOLDER / "pipelines" / "__init__.py"), **other}  # fmt: skip
    return f"{NEW}\necho '{json.dumps(facts)}'"


def test_the_python_that_runs_this(programs):
    """In an activated environment Gadgetron takes the environment's Python."""
    folder = programs(python=f'exec "{sys.executable}" "$@"')
    found, imports = check_gadgetron_python()
    assert found.level == imports.level == "ok"
    assert found.sentence.startswith(f"Gadgetron would start {folder / 'python'}, python ")
    assert found.sentence.endswith(f" in {sys.prefix}, the Python that runs this")
    assert imports.sentence.startswith(f"Gadgetron's Python imports us from {OUR_FOLDER}: kband {HERE['kband']}, ")
    assert "here" not in imports.sentence


def test_a_python_that_cannot_import_us(programs):
    """The client would be told nothing, so the doctor names every package that is missing, and the two ways out."""
    programs(python=BARE)
    _, imports = check_gadgetron_python()
    assert imports.level == "warning"
    missing = {"gadgetron": "gadgetron", "ismrmrd": "ismrmrd", "torch": "torch",
               "pipelines.hosts.gadgetron_module": "pipelines"}  # fmt: skip
    for name, module in missing.items():
        assert f"{name} (No module named '{module}')" in imports.sentence
    assert "activate the environment that holds kband" in imports.sentence
    assert "kband serve" in imports.sentence


def test_the_doctor_only_warns(programs):
    """A machine that runs kband serve needs no such Python."""
    programs(python=BARE)
    result = CliRunner().invoke(main, ["doctor"])
    assert "\nwarning Gadgetron's Python cannot import " in result.output
    assert result.exit_code == 0


def test_the_first_program_of_each_name_counts(programs):
    """python, then python3; one that is too old is passed over, and none is looked for behind it."""
    folder = programs(python="echo Python 2.7.18", python3=NEW)
    assert find_python() == str(folder / "python3")
    programs(python="echo Python 3.5.9")
    assert find_python() == str(folder / "python3")
    programs(python="echo Python 3.6.0")
    assert find_python() == str(folder / "python")


def test_no_python_at_all(programs):
    """Gadgetron would say `Operation canceled`."""
    programs(python="echo Python 2.7.18")
    (check,) = check_gadgetron_python()
    assert check.level == "warning"
    assert check.sentence.startswith("Gadgetron finds no python or python3 of version 3.6 or newer on PATH, so")


AILING = {
    "hangs": ("exec /bin/sleep 60", "did not answer within 0.5 s"),
    "fails": ("echo one >&2; echo its library is missing >&2; exit 3",
              "ended with exit code 3 (its library is missing)"),
    "says nothing": ("exit 0", "ended with exit code 0 (no message)"),
}  # fmt: skip


@pytest.mark.parametrize("ailment", AILING)
def test_a_python_that_does_not_answer(programs, monkeypatch, ailment):
    """The doctor ends all the same, and says how that Python did."""
    script, sentence = AILING[ailment]
    monkeypatch.setattr(gadgetron_python, "SECONDS", 0.5)
    folder = programs(python=f"{NEW}\n{script}")
    (check,) = check_gadgetron_python()
    assert check.level == "warning"
    assert check.sentence.startswith(f"Gadgetron would start {folder / 'python'}, which {sentence}; activate ")


def test_another_python_that_imports_us(programs):
    """Its versions are told where they are others; that is no flaw."""
    programs(python=answer(versions={**HERE, "torch": "2.6.0"}))
    found, imports = check_gadgetron_python()
    assert f"python 3.12.1 in /env, not the Python {sys.version.split()[0]} that runs this" in found.sentence
    assert imports.level == "ok"
    assert f"torch 2.6.0 (here {HERE['torch']})" in imports.sentence


def test_another_kband_there(programs):
    """What is tested here is then not what reconstructs there."""
    programs(python=answer(versions={**HERE, "kband": "0.0.1"}))
    _, imports = check_gadgetron_python()
    assert imports.level == "warning"
    assert f"kband 0.0.1 (here {HERE['kband']})" in imports.sentence


def test_python_path_is_extended_as_gadgetron_does(programs, tmp_path):
    """Its own folder comes last; its home is GADGETRON_HOME, else the prefix of its program."""
    assert python_path({}) is None
    assert python_path({"PYTHONPATH": "/mine"}) == "/mine"
    home = programs(gadgetron="").parent
    assert python_path({"PYTHONPATH": "/mine"}) == f"/mine{os.pathsep}{home}/share/gadgetron/python"
    assert python_path({"GADGETRON_HOME": "/other"}) == "/other/share/gadgetron/python"


def test_it_is_asked_with_that_path(programs, tmp_path):
    """A gadgetron package that only stands there is found."""
    module = tmp_path / "share" / "gadgetron" / "python" / "torch.py"
    module.parent.mkdir(parents=True)
    module.touch()
    programs(gadgetron="", python=f'exec "{sys.executable}" -S "$@"')
    _, imports = check_gadgetron_python()
    assert "ismrmrd (No" in imports.sentence
    assert "torch (No" not in imports.sentence


def test_standard_input_is_closed(programs):
    """Gadgetron closes it, so a package that reads it at import fails there and nowhere else."""
    programs(gadgetron="", python=f'{NEW}\nexec "{sys.executable}" -c "import sys; sys.exit(repr(sys.stdin))"')
    (check,) = check_gadgetron_python()
    assert "ended with exit code 1 (None)" in check.sentence
