"""`auto`: the pipeline that a scan is for, and the reason, the same wherever the scan is run."""

import numpy as np
import pytest

from gadgets.flags import is_noise
from gadgets.scan import Scan
from pipelines.chain.choice import TABLE, choose
from pipelines.chain.installed import installed_pipelines
from pipelines.files.mrd_file import read_images, write_raw
from pipelines.files.mrd_stream import open_raw
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from tests.command import kband

SMALL = {"matrix": 64, "n_coils": 4, "n_slices": 1}
CHOSEN = [
    ({"acceleration": 1}, "kband", "header and coils are like what simulated_small was trained on"),
    ({"acceleration": 4}, "kband", "header and coils are like what simulated_small was trained on"),
    ({"acceleration": 7}, "raki", "R=7 with embedded calibration lines; not kband: lines 7 apart outside the centre, "
                                  "simulated_small has seen 6 at most"),
    ({"acceleration": 2, "n_coils": 2}, "grappa", "R=2 with embedded calibration lines; not kband: coils: 2, "
                                                  "simulated_small has seen 4 to 12"),
    ({"acceleration": 1, "n_coils": 2}, "sense", "no line is left out; not kband: coils: 2, simulated_small has seen "
                                                 "4 to 12"),
    ({"acceleration": 2, "calibration": "none"}, "sense", "R=2 without calibration lines; not kband: calibration "
     "lines in the image: 1, simulated_small has seen 16 and more"),
    ({"trajectory": "radial"}, "radial_kband", "header and coils are like what simulated_radial was trained on"),
    ({"trajectory": "golden", "n_coils": 2}, "radial", "the trajectory is goldenangle; not radial_kband: coils: 2, "
                                                       "simulated_radial has seen 4 to 12"),
    ({"trajectory": "spiral"}, "spiral", "the trajectory is spiral"),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "pipeline", "reason"), CHOSEN)
def test_a_scan_chooses_its_pipeline(protocol, pipeline, reason):
    """By trajectory, acceleration, calibration and the model's card."""
    header, lines, _ = simulate_scan(Protocol(**{**SMALL, **protocol}))
    choice, _ = choose(Scan.from_xml(header), lines)
    assert (choice.pipeline, choice.reason) == (pipeline, reason)


@pytest.mark.parametrize(
    ("options", "pipeline", "reason"),
    [
        (("--trajectory", "epi", "--slices", 1), "epi_grappa", "R=3 with separate calibration lines; not epi_kband: "),
        (("--partitions", 16, "--partition-acceleration", 2), "sense", "R=3 × 2 along both encoding steps; not kband"),
        (("--multiband", 2, "--slices", 4), "multiband_sense", "2 slices are excited at once"),
    ],
)
def test_a_file_chooses_its_pipeline(tmp_path, options, pipeline, reason):
    """Neither network nor RAKI has seen partitions left out, nor slices added up; echo trains are calibrated apart."""
    assert kband("simulate", *options, "--matrix", 48, "-o", tmp_path / "scan.h5").exit_code == 0
    with open_raw(tmp_path / "scan.h5") as raw:
        choice, _ = choose(Scan.from_xml(raw.header_xml), raw)
    assert choice.pipeline == pipeline
    assert choice.reason.startswith(reason)


def test_no_line_is_lost_by_looking(scan):
    """Noise lines, and the first behind them, are looked at: they run through the chain all the same."""
    header, lines, _ = scan
    looked_at = []
    _, again = choose(Scan.from_xml(header), (looked_at.append(line) or line for line in lines))
    assert [is_noise(line) for line in looked_at] == [True] * (len(looked_at) - 1) + [False]
    assert list(again) == lines


def test_a_scan_without_lines_is_chosen_for_by_its_header(scan):
    """Its pipeline then says what is missing."""
    choice, again = choose(Scan.from_xml(scan[0]), [])
    assert choice.pipeline == "kband"
    assert list(again) == []


def test_only_what_is_installed_is_chosen():
    """A row that leads nowhere would end a scan."""
    assert {row.pipeline for row in TABLE} <= set(installed_pipelines())


def test_auto_gives_the_images_of_what_it_chose(raw, tmp_path):
    """The same chain, and the sentence on the screen."""
    result = kband("replay", raw, "-p", "auto", "-o", tmp_path / "auto.h5")
    assert result.exit_code == 0, result.output
    assert "kband is chosen: header and coils are like what simulated_small was trained on" in result.output
    kband("replay", raw, "-p", "kband", "-o", tmp_path / "kband.h5")
    pairs = zip(read_images(tmp_path / "auto.h5"), read_images(tmp_path / "kband.h5"), strict=True)
    for one, other in pairs:
        assert np.array_equal(one.data, other.data)
        assert one.meta["kband_choice"].startswith("kband: header and coils are like")  # where nobody hears a sentence
        assert "kband_choice" not in other.meta


def test_what_the_chosen_pipeline_cannot_do_is_said(tmp_path):
    """No calibration: the image is a fallback, and the replay fails, as it would without auto."""
    header, lines, _ = simulate_scan(Protocol(**SMALL, acceleration=2, calibration="none"))
    write_raw(tmp_path / "scan.h5", header, lines)
    result = kband("replay", tmp_path / "scan.h5", "-p", "auto", "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert "1 of 1 image made by a fallback" in result.output
