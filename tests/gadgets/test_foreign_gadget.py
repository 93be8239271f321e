"""A gadget of somebody else's package, the README's: installed beside us, found by its name and by nothing else."""

import copy
import re
import sys
from pathlib import Path

import pytest

from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names
from gadgets.gadget import REGISTRY, gadget_class
from pipelines.chain.lint import lint
from pipelines.chain.pipeline import installed_xml
from pipelines.files.mrd_file import read_images, write_raw
from pipelines.protocol.framing import Id
from pipelines.protocol.messages import text_message
from pipelines.protocol.request import Request
from tests.command import kband

README = (Path(__file__).parents[2] / "gadgets" / "README.md").read_text()
PYTHON, TOML, XML = (re.search(rf"```{kind}\n(.*?)```", README, re.DOTALL)[1] for kind in ("python", "toml", "xml"))
CHAIN = installed_xml("sense").replace("<configuration>\n        <gadget>", f"<configuration>\n{XML}        <gadget>")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Maker of an installed package: a module `spikes` of this source, and entry points as its pyproject names them."""
    def install(source: str = PYTHON, toml: str = TOML) -> None:
        site = tmp_path / "site-packages"
        dist_info = site / "spikes-1.0.dist-info"
        dist_info.mkdir(parents=True)
        (site / "spikes.py").write_text(source)
        (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: spikes\nVersion: 1.0\n")
        section = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", toml).replace('"', "")
        (dist_info / "entry_points.txt").write_text(section)
        monkeypatch.syspath_prepend(site)

    yield install
    sys.modules.pop("spikes", None)
    REGISTRY.pop("SpikeWatch", None)


def test_it_is_short():
    """The first page of a stranger: about thirty lines."""
    assert len(PYTHON.splitlines()) < 40


def test_it_runs_in_a_chain(installed, scan, tmp_path):
    """Named in an XML, checked, replayed: it says what it saw, and changes no pixel."""
    installed()
    assert "SpikeWatch" not in REGISTRY
    lines = copy.deepcopy(scan[1])
    lines[20].data[1, 4] = 100 * abs(lines[20].data).max()  # the fifth line behind 16 noise readouts
    write_raw(tmp_path / "scan.h5", scan[0], lines)
    (tmp_path / "my_sense.xml").write_text(CHAIN)
    checked = kband("check", tmp_path / "my_sense.xml")
    assert checked.output == "1 pipeline, 0 errors, 0 warnings\n"
    result = kband("replay", tmp_path / "scan.h5", "-p", tmp_path / "my_sense.xml", "-o", tmp_path / "mine.h5")
    assert "WARNING SpikeWatch: line 4 has a spike" in result.output
    assert result.output.count("SpikeWatch") == 1
    kband("replay", tmp_path / "scan.h5", "-o", tmp_path / "ours.h5")
    mine, ours = (read_images(tmp_path / f"{name}.h5") for name in ("mine", "ours"))
    assert all((a.data == b.data).all() for a, b in zip(mine, ours, strict=True))
    assert len(ours) == 2


def test_its_properties_are_checked_like_ours(installed):
    """By name, type and bounds, before a scan."""
    installed()
    wrong = CHAIN.replace('value="20"', 'value="0.5"').replace('name="n_coils"', 'name="n_coil"')
    assert [found.sentence for found in lint(wrong)] == [
        "SpikeWatch.factor: input should be greater than 1, got '0.5'",
        "CoilCompression.n_coil: no such property; close is n_coils",
    ]


def test_it_is_listed(installed):
    """Beside our own gadgets, in a table of its own."""
    installed()
    row = "| `SpikeWatch` | Acquisition | Acquisition | `factor` | float > 1 | 30.0 |"
    assert row in kband("doctor", "--gadgets").output


BROKEN = "gadget 'SpikeWatch' of another package (spikes:SpikeWatch) cannot be imported: "


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_library_that_nobody_has", "ModuleNotFoundError: No module named 'a_library_that_nobody_has'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (PYTHON + "1 / 0", "ZeroDivisionError: division by zero"),
        ("SpikeWatsch = 1", "AttributeError: module 'spikes' has no attribute 'SpikeWatch'"),
    ],
)
def test_one_that_cannot_be_imported_is_named(installed, source, reason):
    """One sentence, wherever it is met; everything else works on."""
    installed(source)
    for _ in range(2):
        assert [found.sentence for found in lint(CHAIN)] == [BROKEN + reason]
    with pytest.raises(PipelineError, match=re.escape(BROKEN + reason)):
        gadget_class("SpikeWatch")
    listed = kband("doctor", "--gadgets")
    assert listed.exit_code == 0
    assert BROKEN + reason in listed.output
    assert lint(installed_xml("sense")) == []


def test_what_is_no_gadget_is_said(installed):
    """An entry point may lead anywhere."""
    installed("def SpikeWatch(): ...")
    expected = "gadget 'SpikeWatch' of another package: its entry point leads to no gadget of that name"
    assert [found.sentence for found in lint(CHAIN)] == [expected]


def test_no_gadget_takes_the_name_of_another(installed):
    """A package that calls its gadget like ours would change every pipeline that names it."""
    installed(PYTHON.replace("class SpikeWatch", "class SenseRecon") + "\nSpikeWatch = SenseRecon\n")
    ours = gadget_class("SenseRecon")
    with pytest.raises(PipelineError, match=r"'SenseRecon' of spikes: gadgets\.recon\.sense_recon has one of that"):
        gadget_class("SpikeWatch")
    assert gadget_class("SenseRecon") is ours


@pytest.mark.parametrize("name", ["spikes", "spikes:SpikeWatch", "os", "../spikes", "SpikeWatch ", "", "spikewatch"])
def test_only_names_of_installed_gadgets_import_anything(installed, name):
    """A chain may come over the network: it chooses among what the site has installed, and names no module."""
    installed()
    before = set(sys.modules)
    with pytest.raises(PipelineError, match="no gadget '"):
        gadget_class(name)
    assert "spikes" not in set(sys.modules) - before


def test_a_server_leaves_it_to_its_workers(installed):
    """What it does when it is imported must not befall the process that all scans share."""
    installed()
    chain = f"<configuration>{XML}</configuration>"
    assert "SpikeWatch" in Request(text_message(Id.CONFIG_TEXT, chain)).xml()
    assert "spikes" not in sys.modules


def test_nothing_is_imported_before_it_is_named(installed):
    """Neither by the list of names nor by a chain of our own gadgets."""
    installed()
    assert "SpikeWatch" in foreign_names()
    assert lint(installed_xml("sense")) == []
    assert "spikes" not in sys.modules
