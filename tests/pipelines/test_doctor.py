"""`kband doctor`: each check finds what it is for."""

import shutil
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from gadgets.gadget import REGISTRY
from kband_core.device import choose_device, computes_bfloat16
from pipelines.chain.pipeline import installed_pipelines, installed_xml
from pipelines.cli import main
from pipelines.installation import checkup
from pipelines.installation.checkup import (
    CONFIGURATIONS,
    Check,
    check_copies,
    check_names,
    check_pipelines,
    check_versions,
)
from pipelines.installation.dry_run import dry_run
from pipelines.installation.gadget_table import gadget_table

ELSEWHERE = Path("/elsewhere")


def amiss(checks) -> list[tuple[str, str]]:
    """What is not ok, cut at what to do about it."""
    return [(check.level, check.sentence.partition(";")[0]) for check in checks if check.level != "ok"]


def test_every_line_begins_with_a_level():
    """The exit code is 1 if, and only if, there is an error."""
    result = CliRunner().invoke(main, ["doctor"])
    levels = [line.split()[0] for line in result.output.splitlines()]
    assert set(levels) <= {"ok", "warning", "error"}
    assert result.exit_code == ("error" in levels)
    assert f"torch {torch.__version__}" in result.output


def test_versions_name_what_is_not_installed(monkeypatch):
    """A missing library is an error before anything is imported."""
    installed = metadata.version

    def version(name):
        if name == "gadgetron":
            raise metadata.PackageNotFoundError
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    assert amiss(check_versions()) == [("error", "gadgetron is not installed")]
    assert list(checkup.check_all())[-1].sentence.startswith("'pipelines' is ours")


def test_names_are_ours(tmp_path):
    """In a working installation nothing is amiss."""
    assert amiss(check_names(tmp_path)) == []


def test_names_that_others_install_too(monkeypatch, tmp_path):
    """Installing the other distribution `pipelines` overwrites files of ours without a word."""
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"pipelines": ["kband", "pipelines"]})
    assert amiss(check_names(tmp_path)) == [
        ("warning", "'pipelines' is also installed by pipelines, which may have overwritten files of ours")
    ]


def test_names_that_come_from_elsewhere(monkeypatch, tmp_path):
    """What is not ours is not imported, and nothing that needs it is tried."""
    find_spec = checkup.find_spec
    other = ModuleSpec("gadgets", None, origin="/elsewhere/gadgets/__init__.py")
    monkeypatch.setattr(checkup, "find_spec", lambda name: other if name == "gadgets" else find_spec(name))
    expected = [("error", f"'gadgets' is imported from /elsewhere, not from {checkup.OUR_FOLDER}")]
    assert amiss(check_names(tmp_path)) == expected
    assert amiss(checkup.check_all()) == expected


def test_folders_that_hide_ours_from_gadgetron(tmp_path):
    """Gadgetron's Python looks in the folder that Gadgetron was started in first; a bare folder does no harm."""
    for name in ("gadgets", "gadgetron", "pipelines"):
        (tmp_path / name).mkdir()
    for name in ("gadgets", "gadgetron"):
        (tmp_path / name / "__init__.py").touch()
    assert amiss(check_names(tmp_path)) == [
        ("warning", f"{tmp_path / name} hides the installed '{name}' from a Gadgetron that is started in {tmp_path}")
        for name in ("gadgets", "gadgetron")
    ]


def test_pipelines_are_linted(monkeypatch, tmp_path):
    """What cannot be read is not run."""
    path = tmp_path / "mine.xml"
    path.write_text("<html/>")
    monkeypatch.setattr("pipelines.chain.pipeline.installed_pipelines", lambda: {"mine": path})
    assert amiss(check_pipelines()) == [
        ("error", f"pipeline {path}: pipeline XML: root is <html>, expected <configuration> or "
                  "<gadgetronStreamConfiguration>")
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(installed_pipelines()))
def test_installed_pipelines_pass_a_dry_run(name):
    """16 noise lines, and of 64 rows 24 for calibration and every fourth of the other 40, make one image or plane; of
    two slices at once 64, and 24 of each, two images; of three echoes three images and nine maps."""
    problem, result = dry_run(installed_pipelines()[name].read_bytes())
    assert problem is None
    assert result.startswith(("1 image of 50 lines in ", "1 image of 80 lines in ", "2 images of 50 lines in ",
                              "1 plane of 50 lines in ",
                              "2 images of 128 lines in ", "12 images of 118 lines in "))  # fmt: skip


def test_a_dry_run_ends_whatever_happens():
    """One pipeline that fails must not keep the doctor from looking at the others."""
    refused = installed_xml("sense").replace('value="12"', 'value="twelve"')
    assert "CoilCompression.n_coils" in dry_run(refused)[0]
    empty = "<configuration><gadget><classname>AcquisitionAccumulateTriggerGadget</classname></gadget></configuration>"
    assert dry_run(empty)[0] == "0 images came of 50 lines"


def test_a_fallback_is_an_error_in_a_dry_run(monkeypatch, tmp_path):
    """It is an image, but not the one that was asked for."""
    path, maps = tmp_path / "mine.xml", "<gadget><classname>CoilSensitivities</classname></gadget>"
    path.write_text(installed_xml("sense").replace(maps, ""))
    monkeypatch.setattr("pipelines.chain.pipeline.installed_pipelines", lambda: {"mine": path})
    ((level, sentence),) = amiss(check_pipelines())
    assert level == "error"
    assert sentence.startswith("pipeline mine: a dry run fails after 1 image of 50 lines in ")
    assert "1 of 1 image made by a fallback (FALLBACK GRAPPA: SenseRecon: no coil maps: Coil" in sentence


@pytest.fixture
def copies(tmp_path) -> Path:
    """A Gadgetron's folder of configurations that holds ours."""
    folder = tmp_path / CONFIGURATIONS
    folder.mkdir(parents=True)
    for path in installed_pipelines().values():
        shutil.copy(path, folder)
    return folder


def test_copies_that_are_ours(copies, tmp_path):
    """Both places are looked at, one place once."""
    same = Check("ok", f"the pipelines in {copies} are the same as ours")
    assert list(check_copies(tmp_path, None)) == list(check_copies(tmp_path, str(tmp_path))) == [same]
    none = Check("ok", f"no pipelines in {ELSEWHERE / CONFIGURATIONS}, and no Gadgetron that would look there")
    assert list(check_copies(ELSEWHERE, str(tmp_path))) == [none, same]


def test_copies_of_another_version(copies, tmp_path):
    """Gadgetron would run a chain other than the one that was tested here."""
    (copies / "sense.xml").write_text("<configuration/>")
    assert amiss(check_copies(tmp_path, None)) == [("warning", f"{copies} holds other versions of sense")]


def test_copies_whose_server_stands_elsewhere(copies, tmp_path):
    """Where the server stands is the site's business; all else is not."""
    path = copies / "sense_warm.xml"
    path.write_text(path.read_text().replace('"localhost" port="9002"', '"gpu" port="9100"'))
    assert amiss(check_copies(tmp_path, None)) == []
    path.write_text(path.read_text().replace('value="12"', 'value="2"'))
    assert amiss(check_copies(tmp_path, None)) == [("warning", f"{copies} holds other versions of sense_warm")]


def test_copies_that_are_missing(copies, tmp_path):
    """Only a Gadgetron that is there can miss them."""
    (copies / "sense.xml").unlink()
    expected = [("warning", f"{copies} lacks sense, so Gadgetron does not find them")]
    assert amiss(check_copies(tmp_path, None)) == []
    assert amiss(check_copies(ELSEWHERE, str(tmp_path))) == expected
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gadgetron").touch()
    assert amiss(check_copies(tmp_path, None)) == expected


def test_table_lists_every_gadget_and_property():
    """The table is made from the classes, so it cannot be out of date."""
    rows = [line.split(" | ") for line in gadget_table().splitlines()]
    assert {len(row) for row in rows} == {7}
    kinds = {kind for kind in REGISTRY.values() if kind.__module__.startswith("gadgets.")}
    for kind in kinds:
        assert [kind.label() in row[0] for row in rows].count(True) >= 1
    assert len(rows) == 2 + sum(max(len(kind.properties()), 1) for kind in kinds)
    assert CliRunner().invoke(main, ["doctor", "--gadgets"]).output == gadget_table() + "\n"


def test_device_says_which_it_is():
    """`auto` on this machine, in one line, and how precisely it computes."""
    device, precision, threads = checkup.check_device()
    assert device.sentence.startswith("device 'auto' is " + ("cuda" if torch.cuda.is_available() else "the CPU"))
    native = computes_bfloat16(choose_device("auto"))
    assert precision.sentence.partition(" compute in ")[2].startswith("bfloat16" if native else "float32: ")
    assert threads.sentence.startswith(f"torch uses {torch.get_num_threads()} threads")
    assert sys.prefix in next(check_versions()).sentence
