"""`kband evaluate` of radial and spiral scans: shots are left out as if they had not been acquired."""

import copy
import csv

import ismrmrd
import numpy as np
import pytest
import torch

from pipelines.evaluation.undersampled_shots import leave_out_shots
from pipelines.files.mrd_file import write_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband

pytest.importorskip("finufft")
N = 64


@pytest.fixture(scope="module")
def full():
    """Header and lines, among them those of noise: as many spokes as Nyquist asks for."""
    return simulate_scan(Protocol(matrix=N, n_coils=4, n_slices=1, trajectory="radial", n_shots=101, snr=60.0))[:2]


@pytest.fixture
def raw(tmp_path, full):
    write_raw(tmp_path / "full.h5", *full)
    return tmp_path / "full.h5"


def judged(tmp_path, raw, *options):
    told = kband("evaluate", "simulated_radial", raw, *options, "-o", tmp_path / "table.csv")
    assert told.exit_code == 0, told.output
    with (tmp_path / "table.csv").open() as file:
        return told.output, {row["method"]: float(row["nmse"]) for row in csv.DictReader(file)}


def test_the_shots_that_are_kept_lie_evenly_and_are_counted_anew(full):
    """A fourth of 101 spokes, four steps apart, or five once: what a scanner that skips them would send."""
    header, lines = full
    scan = leave_out_shots(header, lines, 4.0, rng=torch.Generator().manual_seed(0))
    left = [line for line in scan.lines(copy.deepcopy(lines)) if line.traj.size]
    assert [line.idx.kspace_encode_step_1 for line in left] == list(range(25))
    assert set(np.diff(np.flatnonzero(scan.kept)).tolist()) <= {4, 5}
    assert (scan.scan.encodings[0].step1.minimum, scan.scan.encodings[0].step1.maximum) == (0, 24)
    assert scan.acceleration() == pytest.approx(101 / 25)


def test_every_method_is_judged_along_spokes(tmp_path, raw):
    """The network that ships is nearer to the image of all spokes than CG-SENSE, and that nearer than gridding."""
    output, nmse = judged(tmp_path, raw, "--acceleration", 5, "--picture", tmp_path / "errors.png")
    assert "full.h5: 20 of 101 shots, R = 5.05\n" in output
    assert list(nmse) == ["gridding", "NUFFT-SENSE", "simulated_radial"]
    assert nmse["simulated_radial"] < 0.5 * nmse["NUFFT-SENSE"] < 0.25 * nmse["gridding"]
    assert (tmp_path / "errors.png").stat().st_size > 10_000


def test_with_every_shot_nothing_is_missing(tmp_path, raw):
    """R=1: CG-SENSE is its own reference, to the bit."""
    assert judged(tmp_path, raw, "--acceleration", 1)[1]["NUFFT-SENSE"] == 0


def test_a_network_for_spokes_leaves_spirals_to_sense_and_says_so(tmp_path):
    """Its figure would be that of another method."""
    header, lines, _ = simulate_scan(Protocol(matrix=32, n_coils=4, n_slices=1, trajectory="spiral", n_shots=16))
    write_raw(tmp_path / "spiral.h5", header, lines)
    _, nmse = judged(tmp_path, tmp_path / "spiral.h5", "--acceleration", 2)
    assert nmse["simulated_radial, fell back"] == nmse["NUFFT-SENSE"]


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (lambda lines: lines[:-1], "100 of 101 shots were acquired; a full scan needed"),
        (lambda lines: [bare(line) for line in lines], "lines carry no trajectory, by which shots are left out"),
    ],
)
def test_what_cannot_be_thinned_is_said_in_a_sentence(full, spoilt, sentence):
    """Which shots lie evenly is told by their places."""
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        leave_out_shots(full[0], spoilt(full[1]), 4.0, rng=torch.Generator())


def bare(line):
    """The line without its trajectory."""
    return ismrmrd.Acquisition.from_array(line.data, idx=line.idx, flags=line.flags)
