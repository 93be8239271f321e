"""What is finished is not made again; what only looks like it is."""

import pytest

from pipelines.files.finished_file import FileProblem
from pipelines.jobs import record
from pipelines.jobs.job import Job
from pipelines.jobs.listener import Notes
from pipelines.jobs.record import record_path, remembered
from tests.jobs.works import copied


@pytest.fixture
def job(tmp_path) -> Job:
    """Made once already, and remembered."""
    (tmp_path / "scan.h5").write_text("text")
    job = Job(tmp_path / "scan.h5", tmp_path / "images.h5", may_replace=False)
    assert not remembered(copied, "sense")(job, Notes()).was_finished
    return job


def test_a_finished_file_is_left_out_with_its_value(job):
    """Same input, recipe, program and result."""
    outcome = remembered(copied, "sense")(job, Notes())
    assert (outcome.was_finished, outcome.problem, outcome.value) == (True, None, 4)


@pytest.mark.parametrize(
    "change",
    [
        lambda job, _: job.path.write_text("other text"),
        lambda job, _: job.target.write_text("of somebody else"),
        lambda job, patch: patch.setattr(record, "fingerprint", lambda: "another version"),
        lambda job, _: record_path(job.target).write_text("torn {"),
    ],
    ids=["input", "result", "program", "record"],
)
def test_what_is_no_longer_what_was_made_is_refused_or_replaced(job, monkeypatch, change):
    """Neither taken for finished, nor replaced without leave."""
    change(job, monkeypatch)
    before = job.target.read_bytes()
    with pytest.raises(FileProblem, match="exists already"):
        remembered(copied, "sense")(job, Notes())
    assert job.target.read_bytes() == before
    outcome = remembered(copied, "sense")(Job(job.path, job.target, may_replace=True), Notes())
    assert not outcome.was_finished


def test_other_properties_are_another_result(job):
    """The recipe holds them."""
    with pytest.raises(FileProblem, match="exists already"):
        remembered(copied, "grappa")(job, Notes())


def test_a_flawed_result_is_made_again(tmp_path):
    """Its flaw may have been that of the machine; the result is ours, so it may be replaced."""
    (tmp_path / "scan.h5").write_text("flaw")
    job = Job(tmp_path / "scan.h5", tmp_path / "images.h5", may_replace=False)
    for _ in range(2):
        outcome = remembered(copied, "sense")(job, Notes())
        assert (outcome.was_finished, outcome.problem) == (False, "it has a flaw")
