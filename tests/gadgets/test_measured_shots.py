"""Trajectories that a site has measured take the place of those that lines carry."""

import re

import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from kband_core.measured_shots import COLUMNS
from tests.gadgets.shots import SHOTS, N, copy, received, scanned

pytest.importorskip("finufft")
PIXEL_MM = 230 / N


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The places of the small scan, as measured: `true.csv` in a folder of the site."""
    _, _, places = scanned()
    rows = [",".join(COLUMNS)]
    for shot, samples in enumerate((places.double() / (PIXEL_MM * 1e-3)).tolist()):
        rows += [f"{shot},{n},{4 * n},{kx:.6f},{ky:.6f}" for n, (ky, kx) in enumerate(samples)]
    (tmp_path / "true.csv").write_text("\n".join(rows))
    monkeypatch.setenv("KBAND_TRAJECTORIES", str(tmp_path))
    return tmp_path / "true.csv"


def test_what_was_measured_takes_the_place_of_what_lines_carry(table):
    """Lines that carry another trajectory, or none, come to lie where they were measured (six digits of the table)."""
    scan, lines, _ = scanned()
    ((right,), _) = received(scan, lines)
    wrong = [copy(line, traj=0.9 * line.traj) for line in lines]
    for sent in (wrong, [copy(line, traj=line.traj[:, :0]) for line in lines]):
        ((buffer,), error) = received(scan, sent, measured="true")
        assert error is None
        assert torch.allclose(buffer.sampling.coords, right.sampling.coords, atol=1e-6)
        assert buffer.notes["kband_trajectory"] == "measured, true"


def test_shots_that_were_not_measured_are_set_aside(table):
    """One shot too many: the image comes without it, and the scan ends with an error."""
    table.write_text("\n".join(table.read_text().splitlines()[: -2 * N]))
    scan, lines, _ = scanned()
    (_, error) = received(scan, lines, measured="true")
    assert f"{SHOTS - 1} shots were measured" in error


@pytest.mark.parametrize(("properties", "sentence"), [
    ({"measured": "other"}, "TrajectoryBuffer.measured: no table of shots 'other'; found true, designed_64x8"),
    ({"measured": "../true"}, "TrajectoryBuffer.measured: no table of shots '../true'; found true, designed_64x8"),
    ({"measured": "true", "angle_step": 10.0}, "angle_step and measured are both given; one of them expected"),
])  # fmt: skip
def test_what_is_not_there_is_named(properties, sentence, table):
    with pytest.raises(PipelineError, match=re.escape(sentence)):
        TrajectoryBuffer(device="cpu", **properties).open(scanned()[0])


def test_a_table_of_something_else_is_named(table):
    table.write_text("a,b\n1,2\n")
    with pytest.raises(PipelineError, match="true: no table of shots: the first line does not name the columns shot"):
        TrajectoryBuffer(device="cpu", measured="true").open(scanned()[0])
