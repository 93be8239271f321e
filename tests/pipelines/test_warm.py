"""Pipelines whose part runs in a warm server: the same chains, another way to our part."""

import difflib
import re
import runpy
from pathlib import Path

import pytest
import setuptools

from pipelines.chain.lint import lint
from pipelines.chain.pipeline import installed_pipelines
from pipelines.chain.xml import read_chain

ROOT = Path(__file__).parents[2]
NAMES = ("auto", "sense", "grappa", "raki", "kband", "radial", "radial_kband", "radial_realtime", "spiral", "waterfat",
         "waterfat_radial", "active", "pkt")  # fmt: skip
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def xml(name: str) -> str:
    """An installed pipeline's text."""
    return installed_pipelines()[name].read_text()


@pytest.mark.parametrize("name", NAMES)
def test_only_the_way_to_our_part_differs(name):
    """One line, else cold and warm images would not be the same; the comment may say more."""
    cold, warm = (COMMENT.sub("", text).splitlines() for text in (xml(name), xml(f"{name}_warm")))
    changed = [line for line in difflib.ndiff(cold, warm) if line[0] in "-+"]
    assert changed == [
        '-       <execute name="pipelines.hosts" target="external" type="python"/>',
        '+       <connect address="127.0.0.1" port="9012"/>',
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_line_of_the_comment_is_the_same(name):
    """It says what the pipeline does."""
    cold, warm = (COMMENT.search(text)[0].splitlines()[0] for text in (xml(name), xml(f"{name}_warm")))
    assert cold == warm


@pytest.mark.parametrize("name", NAMES)
def test_the_linter_knows_the_way(name):
    """Gadgetron reaches a server by its port, and no process is started."""
    assert lint(xml(f"{name}_warm")) == []
    (external,) = read_chain(xml(f"{name}_warm")).externals
    assert external.execute is None
    assert external.connect == {"address": "127.0.0.1", "port": "9012"}


def test_they_are_installed_where_gadgetron_looks(monkeypatch):
    """Gadgetron looks a pipeline up by name in its own folder."""
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    assert dict(given["data_files"])["share/gadgetron/config"] == sorted(
        f"pipelines/{path.name}" for path in installed_pipelines().values()
    )
    assert {f"{name}_warm" for name in NAMES} <= set(installed_pipelines())
