"""A design is learned, written, read back, simulated and reconstructed, as its user does."""


import pytest
import torch

from kband_core.trajectory_design.comparison import radial_start
from kband_core.trajectory_design.gradient_limits import GradientLimits
from kband_core.trajectory_design.learning import LEVELS, Task, learned
from kband_core.trajectory_design.starts import Readout
from kband_core.trajectory_design.subjects import mean_error, random_subject
from pipelines.design.pulseq_file import GradientEcho, places_in_pulseq, write_pulseq
from pipelines.design.shots_file import read_shots, write_shots
from pipelines.files.finished_file import FileProblem
from tests.command import kband

pytest.importorskip("finufft")
TASK = Task(
    n_shots=4, matrix=24, readout=Readout(n_samples=240, dwell_us=4.0, pixel_mm=230 / 24), limits=GradientLimits(),
    n_coils=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def design() -> tuple[torch.Tensor, torch.Tensor]:
    """Start and control points of a small design, learned from spokes in 30 steps."""
    start = radial_start(TASK)
    *_, last = learned(TASK, start, n_steps=30, rng=torch.Generator().manual_seed(0))
    return start, last.points


def test_a_design_finds_other_objects_better_than_what_it_started_from(design):
    """By a twentieth at least after so few steps (0.453 became 0.415), on objects that it has not seen."""
    start, points = design
    rng = torch.Generator().manual_seed(99)
    others = [random_subject(24, 4, rng) for _ in range(6)]
    before, after = (mean_error(others, places, TASK.noise, 1) for places in (start, TASK.places(points, LEVELS - 1)))
    assert after < 0.95 * before


def test_a_design_keeps_the_limits(design):
    """At every instant, by 95 % and what the projection leaves."""
    strongest, steepest = TASK.raster(LEVELS - 1).largest(design[1])
    assert strongest <= 0.955 * TASK.limits.gradient
    assert steepest <= 0.955 * TASK.limits.slew
    assert TASK.places(design[1], LEVELS - 1).abs().max() <= 0.5


def test_the_sequence_leads_where_the_design_does(design, tmp_path):
    """Pulseq's own reader, from its gradients alone: 1e-5 of the largest k. It has checked times and limits."""
    pytest.importorskip("pypulseq")
    write_pulseq(tmp_path / "shots.seq", TASK, design[1], GradientEcho())
    away = places_in_pulseq(tmp_path / "shots.seq", TASK) - TASK.places(design[1], LEVELS - 1)
    assert away.abs().max() < 1e-5 * 0.5


def test_a_repetition_time_that_is_too_short_is_named(design, tmp_path):
    pytest.importorskip("pypulseq")
    with pytest.raises(FileProblem, match=r"TR is 3 ms, at least \d+\.\d\d expected"):
        write_pulseq(tmp_path / "shots.seq", TASK, design[1], GradientEcho(tr_ms=3.0))


def test_a_table_of_shots_comes_back(design, tmp_path):
    """To five digits behind the point, per metre: of 52 per metre at the edge."""
    places = TASK.places(design[1], LEVELS - 1)
    write_shots(tmp_path / "shots.csv", places, TASK.readout.times_us, TASK.readout.pixel_mm)
    assert torch.allclose(read_shots(tmp_path / "shots.csv", TASK.readout.pixel_mm), places, atol=1e-6)


HEAD = "shot,sample,time_us,kx_per_m,ky_per_m\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n", "does not name the columns"),
        (HEAD, "0 rows"),
        (HEAD + "0,0,2,1\n", "1 row, rows of 5 finite numbers expected"),
        (HEAD + "0,0,2,nan,1\n", "1 row, rows of 5 finite numbers expected"),
        (HEAD + "0,0,2,one,1\n", "no table of shots"),
        (HEAD + "0,1,2,1,1\n", "1 rows are not 1 shots of 2 samples in their order"),
        (HEAD + "0,0,2,99,1\n", "k reaches 0.990 cycles per pixel of 10 mm, 0.5 at most expected"),
        (HEAD + "0,0,2,1,1\n0,1,2,1\n", "no table of shots"),
    ],
)
def test_another_table_is_refused_in_a_sentence(text, sentence, tmp_path):
    (tmp_path / "shots.csv").write_text(text)
    with pytest.raises(FileProblem, match=sentence):
        read_shots(tmp_path / "shots.csv", 10.0)


def test_a_designed_scan_goes_through_the_chain(tmp_path):
    """From nothing to an image: 12 spirals of 32 pixels have little to unfold, and six steps spoil little (0.16)."""
    result = kband("design-trajectory", "-o", tmp_path / "design", "--matrix", 32, "--shots", 12, "--readout-ms", 0.96,
                   "--steps", 6)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "design" / "design.png").stat().st_size > 0
    scan, images = tmp_path / "scan.h5", tmp_path / "images.h5"
    simulated = kband("simulate", "--places", tmp_path / "design" / "shots.csv", "--matrix", 32, "--slices", 1,
                      "-o", scan)  # fmt: skip
    assert simulated.exit_code == 0, simulated.output
    replayed = kband("replay", scan, "-p", "spiral", "-o", images)
    assert replayed.exit_code == 0, replayed.output
    assert float(replayed.output.split("NRMSE ")[1].split()[0]) < 0.2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--dwell-us", 7), "samples of 7 us do not divide a readout of 1.92 ms"),
        (("--readout-ms", 2), "a readout of 2 ms, a multiple of 0.16 ms expected"),
        (("--gradient", 2), "a spoke in 1.92 ms needs 3.4 mT/m, 1.9 expected at most"),
        (("--slew", -1), "slew is -1 T/m/s, more than 0 expected"),
    ],
)
def test_what_cannot_be_designed_is_one_sentence(options, sentence, tmp_path):
    result = kband("design-trajectory", "-o", tmp_path / "design", *options)
    assert result.exit_code == 1
    assert sentence in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_trajectory_beside_places_is_refused(tmp_path):
    (tmp_path / "shots.csv").write_text(HEAD + "0,0,2,1,1\n")
    result = kband("simulate", "--places", tmp_path / "shots.csv", "--trajectory", "radial", "-o", tmp_path / "s.h5")
    assert result.exit_code == 1
    assert "--places" in result.output
