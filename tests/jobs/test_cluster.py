"""Two workers on this machine do what one process does, and a worker that dies costs time, not a file."""

from importlib.util import find_spec
from types import SimpleNamespace

import click
import numpy as np
import pytest

from pipelines.files.mrd_file import read_images, write_raw
from pipelines.jobs import cluster
from pipelines.jobs.cluster import connected, run_on
from pipelines.jobs.job import Job
from tests.command import kband
from tests.jobs.works import broken, copied, copied_at_second_try

pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="distributed not installed")


@pytest.fixture(scope="module")
def client():
    with connected("local:2") as client:
        yield client


def job(folder, name: str, text: str = "text") -> Job:
    (folder / f"{name}.h5").write_text(text)
    return Job(folder / f"{name}.h5", folder / f"{name}.out")


def test_file_of_a_killed_worker_is_done_by_the_other(client, tmp_path):
    """What was begun is made anew: half a result of a dead worker stands in nobody's way."""
    jobs = [job(tmp_path, name) for name in "ab"]
    done = dict(run_on(client, copied_at_second_try, jobs))
    assert [done[each].problem for each in jobs] == [None, None]
    assert [each.target.read_text() for each in jobs] == ["made of text", "made of text"]


def test_outcomes_come_back(client, tmp_path):
    """Sentence, value and what was told; what is refused beforehand is not begun."""
    good, flawed = job(tmp_path, "good"), job(tmp_path, "flawed", "flaw")
    refused = Job(good.path, tmp_path / "refused.out", refused="it is there already")
    done = dict(run_on(client, copied, [good, flawed, refused]))
    assert [done[each].problem for each in (good, flawed, refused)] == [None, "it has a flaw", "it is there already"]
    assert (done[good].value, done[good].results) == (4, ["good.h5 was read"])
    assert not refused.target.exists()


def test_what_nobody_has_foreseen_is_a_sentence(client, tmp_path):
    """The other files go on."""
    ((_, outcome),) = run_on(client, broken, [job(tmp_path, "a")])
    assert outcome.problem == "internal error, ZeroDivisionError: no lines"


def test_workers_make_the_images_of_one_process(client, scan, tmp_path):
    """Pixels are equal."""
    write_raw(tmp_path / "raw.h5", scan[0], scan[1])
    kband("replay", tmp_path / "raw.h5", "-o", tmp_path / "here.h5")
    options = ("-o", tmp_path / "there.h5", "--cluster", client.scheduler.address)
    result = kband("replay", tmp_path / "raw.h5", *options)
    assert result.exit_code == 0, result.output
    assert "2 images in" in result.output
    here, there = (read_images(tmp_path / name) for name in ("here.h5", "there.h5"))
    assert len(here) == len(there) == 2
    assert all(np.array_equal(one.data, other.data) for one, other in zip(here, there, strict=True))


def test_what_ends_every_worker_is_given_up():
    """Else one file would end all workers, for ever."""
    from distributed import KilledWorker

    def result():
        raise KilledWorker("a", SimpleNamespace(address="tcp://worker"), 2)

    assert cluster._outcome(SimpleNamespace(result=result)).problem.startswith("3 workers died of it")


def test_a_worker_with_another_program_does_nothing(tmp_path):
    """Its images would bear the name of what this program promises."""
    each = job(tmp_path, "a")
    assert "another kband" in cluster._on_worker(copied, each, "other").problem
    assert not each.target.exists()


def test_no_scheduler_is_one_sentence(monkeypatch):
    """Nothing listens at port 1."""
    monkeypatch.setattr(cluster, "SECONDS_TO_ANSWER", 0.2)
    with pytest.raises(click.ClickException, match="no dask scheduler answers"), connected("tcp://127.0.0.1:1"):
        pass


def test_a_scheduler_without_workers_is_one_sentence():
    """Else the command would wait without a word."""
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", host="127.0.0.1") as empty,
        pytest.raises(click.ClickException, match="0 workers; start some"),
        connected(empty.scheduler_address),
    ):
        pass
