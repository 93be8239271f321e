"""What every command has in common."""

from importlib import metadata

import click

from pipelines import cli
from tests.command import kband


def test_the_version_is_told():
    """A report of a fault begins with it."""
    assert kband("--version").output == f"kband {metadata.version('kband')}\n"


def test_what_is_interrupted_ends_with_130(monkeypatch):
    """Scripts tell Ctrl-C from a failure by it; nobody wants to see a traceback."""

    @click.command()
    def doctor():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli._Lazy, "get_command", lambda *_: doctor)
    result = kband("doctor")
    assert result.exit_code == 130
    assert result.output == "interrupted\n"
