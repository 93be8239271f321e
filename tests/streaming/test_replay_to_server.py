"""`kband replay` through our own server gives what it gives in process."""

import threading
import time
from collections.abc import Iterator

import h5py
import numpy as np
import pytest

from pipelines.chain.pipeline import installed_xml
from pipelines.files.mrd_file import read_images, write_raw
from pipelines.hosts.server import Server, Settings
from tests.command import kband
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.stand_in import answer, peer


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where our own server listens."""
    server = Server(Settings(port=0, n_workers=1))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.port
    server.stop(10)


@pytest.fixture(scope="module")
def head(tmp_path_factory, scan):
    """The simulated scan as a raw file, and what replaying it in process gives."""
    folder = tmp_path_factory.mktemp("head")
    write_raw(folder / "scan.h5", scan[0], scan[1], reference=scan[2])
    result = kband("replay", folder / "scan.h5", "-o", folder / "here.h5")
    assert result.exit_code == 0, result.output
    return folder / "scan.h5", read_images(folder / "here.h5")


def replay_to(port: int, raw, output, *options) -> tuple[object, list[np.ndarray]]:
    """Replay through our server; what the command said, and the pixels by slice."""
    result = kband("replay", raw, "-o", output, "--to", f"localhost:{port}", *options)
    images = sorted(read_images(output), key=lambda image: image.slice) if output.exists() else []
    return result, [image.data for image in images]


@pytest.mark.parametrize("dialect", ["gadgetron", "fire"])
def test_trajectories_come_through(port, tmp_path, dialect):
    """They travel beside the samples; the warm server forgets none."""
    pytest.importorskip("finufft")
    raw = tmp_path / "scan.h5"
    kband("simulate", "--trajectory", "radial", "--matrix", 48, "--shots", 40, "--slices", 1, "-o", raw)
    assert kband("replay", raw, "-p", "radial", "-o", tmp_path / "here.h5").exit_code == 0
    result, (there,) = replay_to(port, raw, tmp_path / "there.h5", "--dialect", dialect, "-p", "radial")
    assert result.exit_code == 0, result.output
    assert np.array_equal(there, read_images(tmp_path / "here.h5")[0].data)


def test_windows_over_repetitions_are_missed_by_nobody(port, tmp_path):
    """Three windows of 18 shots, 9 apart, hold six repetitions of 6: all have come, though in three images."""
    pytest.importorskip("finufft")
    raw = tmp_path / "scan.h5"
    scan = ["--trajectory", "golden", "--matrix", 48, "--shots", 6, "--repetitions", 6, "--slices", 1]
    kband("simulate", *scan, "-o", raw)
    windows = [word for name in ("spokes=18", "every=9") for word in ("--parameter", f"TrajectoryBuffer.{name}")]
    options = ["-p", "radial_realtime", *windows]
    result, images = replay_to(port, raw, tmp_path / "there.h5", "--dialect", "fire", *options)
    assert result.exit_code == 0, result.output
    assert len(images) == 3


@pytest.mark.parametrize("dialect", ["gadgetron", "fire"])
def test_the_server_chooses_as_a_replay_does(port, head, tmp_path, dialect):
    """`auto` is a name like others: the same pixels, and the client hears what was chosen and why."""
    assert kband("replay", head[0], "-p", "auto", "-o", tmp_path / "here.h5").exit_code == 0
    here = sorted(read_images(tmp_path / "here.h5"), key=lambda image: image.slice)
    result, there = replay_to(port, head[0], tmp_path / "there.h5", "--dialect", dialect, "-p", "auto")
    assert result.exit_code == 0, result.output
    assert "kband is chosen: header and coils are like" in result.output
    assert all(np.array_equal(image.data, pixels) for image, pixels in zip(here, there, strict=True))


@pytest.mark.parametrize("dialect", ["gadgetron", "fire"])
@pytest.mark.parametrize("pipeline", ["sense", "sense.xml", "text"])
def test_our_server_gives_the_images_of_a_replay_in_process(port, head, tmp_path, dialect, pipeline):
    """One chain, two roads: pixels are equal, whether the pipeline is named or sent as text."""
    raw, expected = head
    (tmp_path / "text.xml").write_text(installed_xml("sense"))
    name = tmp_path / "text.xml" if pipeline == "text" else pipeline
    result, pixels = replay_to(port, raw, tmp_path / "there.h5", "--dialect", dialect, "-p", name)
    assert result.exit_code == 0, result.output
    assert "2 images in" in result.output
    assert "INFO    scan " in result.output  # what the server says is shown
    assert result.output.count("against the reference") == 2
    assert len(pixels) == len(expected) == 2
    assert all(np.array_equal(mine, image.data) for mine, image in zip(pixels, expected, strict=True))


def test_parameters_mean_the_same_here_and_there(port, head, tmp_path):
    """A property set by the server or in process: the images are equal, and not those without it."""
    raw, plain = head
    parameter = ("--parameter", "CoilCompression.n_coils=2")
    here = kband("replay", raw, "-o", tmp_path / "here.h5", *parameter)
    assert here.exit_code == 0, here.output
    result, pixels = replay_to(port, raw, tmp_path / "there.h5", "--dialect", "fire", *parameter)
    assert result.exit_code == 0, result.output
    for mine, other, without in zip(pixels, read_images(tmp_path / "here.h5"), plain, strict=True):
        assert np.array_equal(mine, other.data)
        assert not np.array_equal(mine, without.data)


def test_servers_error_fails_the_replay(port, head, tmp_path):
    """Our server tells clients by a text; it is shown and is the reason for exit code 1."""
    result, pixels = replay_to(port, head[0], tmp_path / "there.h5", "-p", "sens")
    assert result.exit_code == 1
    assert "ERROR   no pipeline 'sens'; installed are" in result.output
    assert "scan.h5: no pipeline 'sens'; installed are" in result.output
    assert not pixels


def test_wrong_parameter_is_named(port, head, tmp_path):
    """By the worker that builds the chain, and by the command for a gadget that is not there."""
    bad = ("--dialect", "fire", "--parameter", "SenseRecon.speed=11")
    result, _ = replay_to(port, head[0], tmp_path / "there.h5", *bad)
    assert result.exit_code == 1
    assert "speed" in result.output
    result = kband("replay", head[0], "-o", tmp_path / "here.h5", "--parameter", "Sense.speed=11")
    assert result.exit_code == 1
    assert "no gadget 'Sense' in the pipeline; it has NoiseAdjustGadget, " in result.output


def test_missing_lines_fail_the_replay(port, scan, tmp_path):
    """The image comes, marked as incomplete, and the exit code tells."""
    write_raw(tmp_path / "short.h5", scan[0], scan[1][: len(scan[1]) - 6])
    result, pixels = replay_to(port, tmp_path / "short.h5", tmp_path / "there.h5")
    assert result.exit_code == 1
    assert "incomplete" in result.output
    assert pixels


def test_damaged_file_gives_what_could_be_made(port, scan, tmp_path):
    """The server gets a scan that ends early, not half a one: its images come, and the damage is the sentence."""
    write_raw(tmp_path / "torn.h5", scan[0], scan[1])
    with h5py.File(tmp_path / "torn.h5", "a") as file:
        record = file["dataset/data"][len(scan[1]) - 1]
        record["data"] = record["data"][:10]
        file["dataset/data"][len(scan[1]) - 1] = record
    result, pixels = replay_to(port, tmp_path / "torn.h5", tmp_path / "there.h5")
    assert result.exit_code == 1
    assert f"torn.h5: line {len(scan[1]) - 1} has 10 values" in result.output
    assert len(pixels) == 2


def test_images_that_never_came_fail_the_replay(head, tmp_path):
    """A foreign server that drops a slice, and closes as if all were well."""
    one = by_hand.image(np.ones((1, 1, 64, 64), "<u2"), 1)
    with peer(answer(one, by_hand.CLOSE)) as target:
        result, pixels = replay_to(target.port, head[0], tmp_path / "there.h5")
    assert result.exit_code == 1
    assert "scan.h5: 1 of 2 images came; the first missing is slice " in result.output
    assert len(pixels) == 1


def test_maps_beside_the_images_are_no_failure(port, head, tmp_path):
    """A g-factor map for each slice, with the slice's counters."""
    result, pixels = replay_to(port, head[0], tmp_path / "there.h5", "-p", "raki")
    assert result.exit_code == 0, result.output
    assert len(pixels) == 4


@pytest.mark.parametrize("where", ["here", "there"])
def test_scanner_pace(port, scan, tmp_path, where):
    """A line each 5 ms: the n-th is not sent before 5·(n-1) ms. How much later depends on the machine."""
    lines = scan[1][:41]
    write_raw(tmp_path / "short.h5", scan[0], lines)
    road = ("--to", f"localhost:{port}") if where == "there" else ()
    started = time.monotonic()
    result = kband("replay", tmp_path / "short.h5", "-o", tmp_path / "images.h5", "--pace", "scanner", *road)
    assert time.monotonic() - started >= 0.200
    assert "41 lines, 1 image in" in result.output  # the other slice comes behind the lines that are left out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--to", "localhost"), "'localhost' is no HOST:PORT"),
        (("--to", "localhost:99999"), "'localhost:99999' is no HOST:PORT"),
        (("--parameter", "n_iterations=3"), "is no GADGET.PROPERTY=VALUE"),
        (("--to", "localhost:1", "--parameter", "a.b=3"), "parameters are a message of the dialect fire"),
        (("--to", "localhost:1"), "no connection to localhost:1 ("),
    ],
)
def test_options_that_cannot_be(head, tmp_path, options, sentence):
    """One sentence, before anything is computed."""
    result = kband("replay", head[0], "-o", tmp_path / "images.h5", *options)
    assert result.exit_code != 0
    assert sentence in " ".join(result.output.split())
