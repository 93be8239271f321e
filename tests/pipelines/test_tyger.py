"""The codespec for Tyger: its documented fields, and a command that brings input to output."""

import os
import subprocess
from pathlib import Path

import yaml
from click.testing import CliRunner

from pipelines.cli import main

CODESPEC = yaml.safe_load((Path(__file__).parents[2] / "docker" / "tyger.yml").read_text())
FIELDS = {"kind", "name", "buffers", "image", "command", "args", "workingDir", "env", "resources", "maxReplicas"}


def test_fields_are_those_that_tyger_documents():
    """Tyger refuses what it does not know."""
    assert set(CODESPEC) <= FIELDS
    assert CODESPEC["kind"] == "job"
    assert CODESPEC["buffers"] == {"inputs": ["input"], "outputs": ["output"]}
    assert set(CODESPEC["resources"]) <= {"requests", "limits", "gpu"}


def test_the_command_brings_input_to_output(tmp_path):
    """Buffers are files whose names two variables hold; a stand-in for `kband` copies, and notes its options."""
    (tmp_path / "kband").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/options\ncat\n')
    (tmp_path / "kband").chmod(0o755)
    (tmp_path / "in").write_bytes(b"lines")
    pipes = {"INPUT_PIPE": str(tmp_path / "in"), "OUTPUT_PIPE": str(tmp_path / "out")}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(CODESPEC["command"], env={**os.environ, **pipes, "PATH": path}, check=True, timeout=120)
    assert (tmp_path / "out").read_bytes() == b"lines"
    options = (tmp_path / "options").read_text().split()
    assert CliRunner().invoke(main, [*options, "--help"]).exit_code == 0
