"""A scanner that owns all lines measures what it is asked for: here, and by a server over TCP, the same."""

import csv
import json
import socket

import pytest

from pipelines.files.mrd_file import write_raw
from pipelines.hosts.decisions import Decisions
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.serving import line_bytes, serving

PROTOCOL = Protocol(matrix=64, n_coils=4, n_slices=2, acceleration=1)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("active") / "scan.h5"
    header, lines, _ = simulate_scan(PROTOCOL)
    write_raw(path, header, lines)
    return path


@pytest.fixture(scope="module")
def host():
    """Who hears decisions, at an address of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind(("127.0.0.1", 0))
        host.settimeout(60)
        yield host


@pytest.fixture(scope="module")
def served(host):
    with serving(Decisions(*host.getsockname()), n_workers=1) as served:
        yield served


def curve(folder) -> list[dict[str, str]]:
    with (folder / "curve.csv").open() as file:
        return [{**row, "latency_ms": ""} for row in csv.DictReader(file)]


def test_over_tcp_lines_are_chosen_as_here_and_a_host_hears_of_them(scan, served, host, tmp_path):
    """Same rows in the same order, none lost; the host that the operator named gets every decision as JSON."""
    here, there = tmp_path / "here", tmp_path / "there"
    options = ("--lines", 20, "--deadline", 10000)
    assert kband("simulate-scanner", scan, "-o", here, *options).exit_code == 0
    made = kband("simulate-scanner", scan, "-o", there, *options, "--to", f"localhost:{served.server.port}")
    told = [json.loads(host.recv(65536)) for _ in range(18)]
    assert (made.exit_code, "18 decisions" in made.output, "0 lost" in made.output) == (0, True, True)
    assert curve(here) == curve(there)
    assert [one["stop"] for one in told] == 2 * [*8 * [False], True]
    asked = [int(row["row"]) for row in curve(here) if row["why"] == "asked"]
    assert asked == [one["lines"][0]["ky"] for one in told if not one["stop"]]


def test_a_client_that_breaks_on_waveforms_is_told_so(served):
    """It gets its images and one sentence, and no waveform."""
    header, lines, _ = simulate_scan(PROTOCOL)
    gadget = ("<gadget><classname>ActiveAcquisition</classname><property name='feedback' value='scanner'/></gadget>"
              "<gadget><classname>AcquisitionBuffer</classname></gadget>")  # fmt: skip
    config = by_hand.text(2, f"<configuration>{gadget}</configuration>".encode())
    with served.connect() as peer:
        peer.send(config, by_hand.text(3, header.encode()), *map(line_bytes, lines[:20]), by_hand.CLOSE).hear_out()
    assert "ActiveAcquisition.feedback is scanner, but a " in peer.sentence()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--acceleration", 2), "single slices in one encoding at R=1 expected"),
        (("--acceleration", 1, "--averages", 2), "comes twice; one average expected"),
        (("--trajectory", "radial", "--acceleration", 1), "has the trajectory radial"),
    ],
)
def test_scans_that_own_not_all_lines_are_refused(options, sentence, tmp_path):
    """One sentence, before anything is written."""
    path = tmp_path / "scan.h5"
    assert kband("simulate", "-o", path, "--matrix", 32, "--coils", 2, "--slices", 1, *options).exit_code == 0
    refused = kband("simulate-scanner", path, "-o", tmp_path / "out")
    assert (refused.exit_code, sentence in refused.output) == (1, True)
    assert not (tmp_path / "out").exists()


def test_a_pipeline_that_chooses_nothing_is_refused(scan, tmp_path):
    """Nobody would answer the scanner."""
    refused = kband("simulate-scanner", scan, "-o", tmp_path / "out", "-p", "sense")
    assert "sense: no ActiveAcquisition in it, so nobody says which line comes next" in refused.output


def test_a_decision_that_does_not_come_is_replaced_by_the_scanners_own_order(scan, tmp_path):
    """Lost, counted, and no line is waited for for ever: the deadline of the gadget is shorter than any decision."""
    made = kband("simulate-scanner", scan, "-o", tmp_path / "out", "--deadline", 0.1, "-p", _hasty(tmp_path))
    assert made.exit_code == 0
    assert "0 decisions" in made.output
    assert {row["why"] for row in curve(tmp_path / "out")} == {"calibration", "own order"}


def _hasty(folder):
    """The active pipeline with a deadline that nothing keeps."""
    from pipelines.chain.pipeline import installed_xml

    path = folder / "hasty.xml"
    hasty = '<property name="deadline" value="0.000001"/><property name="target"'
    path.write_text(installed_xml("active").replace('<property name="target"', hasty))
    return path
