"""Many files by one command: folders, what was finished before, and what it all came to."""

import h5py
import pytest

from kband_core.training.dataset import PlaneFile
from pipelines.commands import evaluate
from pipelines.files.mrd_file import write_raw
from pipelines.jobs.job import Job, Outcome
from pipelines.jobs.many import in_order
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband


@pytest.fixture
def folder(tmp_path, scan):
    """Two raw files, of other noise, and one that is none."""
    (tmp_path / "raw").mkdir()
    write_raw(tmp_path / "raw" / "one.h5", scan[0], scan[1])
    other = simulate_scan(Protocol(matrix=64, n_coils=4, n_slices=2, acceleration=2, acs_lines=20, seed=1))
    write_raw(tmp_path / "raw" / "two.h5", other[0], other[1])
    (tmp_path / "raw" / "bad.h5").write_bytes(b"not HDF5")
    (tmp_path / "raw" / "notes.txt").write_text("no raw file")
    return tmp_path / "raw"


def test_a_folder_is_replayed_and_then_left_out(folder, tmp_path):
    """The failure is named again at the end, each time; what is finished is not made again."""
    options = ("replay", folder, "-o", tmp_path / "out", "--resume")
    first = kband(*options)
    assert first.exit_code == 1
    assert "2 of 3 files good, in " in first.output
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = kband(*options)
    assert again.exit_code == 1
    assert "2 of 3 files good, 2 of them finished before" in again.output
    assert again.output.count(f"{folder / 'bad.h5'}") == 2
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times


def test_other_properties_are_not_finished(folder, tmp_path):
    """What stands there was made by 10 iterations, and stays."""
    raw = folder / "one.h5"
    kband("replay", raw, "-o", tmp_path / "images.h5", "--resume")
    result = kband("replay", raw, "-o", tmp_path / "images.h5", "--resume", "--parameter", "SenseRecon.n_iterations=3")
    assert result.exit_code == 1
    assert "exists already" in result.output


def test_an_empty_folder_is_named(tmp_path):
    """Nothing to do is not success."""
    (tmp_path / "empty").mkdir()
    result = kband("replay", tmp_path / "empty", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{tmp_path / 'empty'}: no raw file" in result.output


def test_parts_stay_until_all_files_are_planes(folder, tmp_path):
    """A file that failed is mended or left out; the others need not go through the gadgets again."""
    planes = tmp_path / "planes.h5"
    first = kband("prepare", folder, "-o", planes, "--resume")
    assert first.exit_code == 1
    (folder / "bad.h5").unlink()
    again = kband("prepare", folder, "-o", planes, "--resume", "--overwrite")
    assert again.exit_code == 0, again.output
    assert again.output.count("was finished before") == 2
    assert len(PlaneFile(planes)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["planes.h5", "raw"]


@pytest.fixture
def judged(monkeypatch):
    """Names of the files that were judged."""
    names = []

    def judge(model, undersampling, seed, properties, with_images, job, listener):
        names.append(job.path.name)
        if not h5py.is_hdf5(job.path):
            return Outcome("not an HDF5 file")
        counters = dict.fromkeys(("slice", "contrast", "repetition", "partition"), 0)
        row = {"file": job.path.name, **counters, "method": model, "acceleration": 3.0}
        rows = [{**row, "figures": dict.fromkeys(evaluate.SHOWN, 0.5)}]
        return Outcome(value={"rows": rows, "n_empty": 0, "kept": "R = 3.00", "source": None})

    monkeypatch.setattr(evaluate, "evaluate_file", judge)
    return names


def test_figures_are_remembered_until_all_are_there(folder, tmp_path, judged):
    """Rows of a file that was judged before come from its record."""
    options = ("evaluate", "simulated_small", folder, "-o", tmp_path / "figures.csv", "--resume")
    assert kband(*options).exit_code == 1
    (folder / "bad.h5").unlink()
    judged.clear()
    result = kband(*options)
    assert result.exit_code == 0, result.output
    assert judged == []
    assert len((tmp_path / "figures.csv").read_text().splitlines()) == 3


def test_figures_of_other_properties_are_not_those_that_are_remembered(folder, tmp_path, judged):
    options = ("evaluate", "simulated_small", folder, "-o", tmp_path / "figures.csv", "--resume")
    assert kband(*options).exit_code == 1
    first = sorted(judged)
    assert len(first) == 3
    judged.clear()
    assert kband(*options, "--parameter", "KBandRecon.denoising=0.5").exit_code == 1
    assert sorted(judged) == first


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("replay", "a.h5", "-o", "b.h5", "--cluster", "host:8786"), "'host:8786' is no cluster"),
        (("replay", "a.h5", "-o", "b.h5", "--cluster", "local:2", "--to", "host:9002"), "give one of them"),
        (("evaluate", "simulated_small", "a.h5", "--resume"), "give -o and leave --picture out"),
    ],
)
def test_what_cannot_go_together_is_said_at_once(options, sentence):
    """Before anything is started."""
    result = kband(*options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())


def test_outcomes_are_put_in_the_order_of_the_files(tmp_path):
    """Planes of a set stand in one order, whoever was faster: a training with the same seed must be the same."""
    jobs = [Job(tmp_path / name, tmp_path) for name in "abc"]
    done = [(jobs[n], Outcome(value=n)) for n in (2, 0, 1)]
    assert [outcome.value for _, outcome in in_order(iter(done), jobs)] == [0, 1, 2]
