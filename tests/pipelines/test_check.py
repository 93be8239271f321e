"""`kband check`."""

import pytest
from click.testing import CliRunner

from pipelines.cli import main

INTAKE = "<gadget><classname>BufferIntake</classname></gadget>"
FLAWLESS = f"<configuration>{INTAKE}<gadget><classname>SenseRecon</classname></gadget></configuration>"
ODD = FLAWLESS.replace("</configuration>", "<comment/></configuration>")
BAD = ODD.replace(INTAKE, "").replace("SenseRecon", "AutoScaleGadget")


@pytest.fixture
def check(tmp_path):
    """Runs `kband check` in a folder that holds three pipelines."""
    for name, text in {"flawless": FLAWLESS, "odd": ODD, "bad": BAD}.items():
        (tmp_path / f"{name}.xml").write_text(text)
    return lambda *names: CliRunner().invoke(main, ["check", *(f"{tmp_path}/{name}" for name in names)])


def test_every_finding_is_a_line_and_errors_exit_with_1(check, tmp_path):
    """A script that installs pipelines can rely on the exit code."""
    result = check("bad.xml", "odd.xml", "mri.xml")
    comment = "warning: <comment> is not known here and is ignored"
    first, second, third, fourth, last = result.output.splitlines()
    assert first == f"{tmp_path}/bad.xml: {comment}"
    assert second == (
        f"{tmp_path}/bad.xml: error: AutoScaleGadget is the first gadget and accepts Image, but Acquisition or "
        "ReconData arrives"
    )
    assert third == f"{tmp_path}/odd.xml: {comment}"
    assert fourth.startswith(f"{tmp_path}/mri.xml: error: no pipeline '{tmp_path}/mri.xml'; installed are ")
    assert last == "3 pipelines, 2 errors, 2 warnings"
    assert result.exit_code == 1


def test_warnings_do_not_fail(check):
    """A chain that works passes."""
    assert check("odd.xml").output.endswith("ignored\n1 pipeline, 0 errors, 1 warning\n")
    assert check("odd.xml").exit_code == 0
    result = check("flawless.xml")
    assert (result.exit_code, result.output) == (0, "1 pipeline, 0 errors, 0 warnings\n")


def test_an_installed_pipeline_goes_by_its_name():
    """As in `kband replay -p`."""
    output = CliRunner().invoke(main, ["check", "sense"]).output
    assert output.splitlines()[-1].startswith("1 pipeline, ")
    assert "no pipeline" not in output
