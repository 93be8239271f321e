"""Other programs get the cores while torch's threads wait."""

import os

import pytest

from pipelines.cli import main


@pytest.mark.parametrize(("given", "then"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_every_command_lets_threads_sleep(given, then, monkeypatch):
    """Told before the command loads torch, which asks once; a site may want otherwise."""
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    monkeypatch.setattr(os, "environ", others | given)
    main.get_command(None, "check")
    assert os.environ["OMP_WAIT_POLICY"] == then
