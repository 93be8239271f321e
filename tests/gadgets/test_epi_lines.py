"""What `EpiLines` refuses, what it lets pass, and when lines leave it."""

import ismrmrd
import numpy as np
import pytest

from gadgets.epi.epi_lines import EpiLines
from gadgets.errors import PipelineError, ScanError
from gadgets.flags import is_noise
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.noted_line import NotedLine
from gadgets.scan import Scan
from pipelines.simulation.epi_protocol import EchoTrain
from tests.pipelines.epi_scans import epi_scan, is_navigator


def opened(header, **properties):
    gadget, scan = EpiLines(**properties), Scan.from_xml(header)
    gadget.open(scan)
    return gadget, gadget.scan_behind(scan)


@pytest.fixture(scope="module")
def scan():
    return epi_scan()


def test_lines_leave_as_cartesian_ones(scan):
    """As many samples as pixels, the echo in the middle, none in reverse, no navigator: as the scan behind says."""
    gadget, behind = opened(scan[0])
    lines = [line for line in gadget.process(scan[1]) if not is_noise(line)]
    assert len(lines) == 48
    assert {(line.number_of_samples, line.center_sample) for line in lines} == {(48, 24)}
    assert not any(line.is_flag_set(ismrmrd.ACQ_IS_REVERSE) or is_navigator(line) for line in lines)
    assert (behind.encodings[0].trajectory, behind.encodings[0].encoded_matrix) == ("cartesian", (48, 48, 1))
    AcquisitionBuffer().open(behind)


def test_whitened_noise_keeps_its_strength(scan):
    """SD 1 in, SD 1 out: every method behind counts on it (48 lines of 48 samples of 4 coils: ±2 %)."""
    rng, noisy = np.random.default_rng(0), []
    for line in scan[1]:
        if not is_noise(line):
            real, imaginary = rng.standard_normal((2, *line.data.shape))
            noisy.append(ismrmrd.Acquisition(line.getHead(), (real + 1j * imaginary).astype(np.complex64)))
    gadget, _ = opened(scan[0], phase_correction="none")
    out = np.stack([line.data for line in gadget.process(noisy)])
    assert out.real.std() == pytest.approx(1, rel=0.02)


def test_each_image_leaves_when_its_last_line_is_in():
    """Real time: no image waits for the next one."""
    header, lines, _ = epi_scan(n_repetitions=3)
    n_read, out = 0, []

    def counted():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    gadget, _ = opened(header)
    for line in gadget.process(counted()):
        out.append((n_read, line.idx.repetition))
    lasts = [number for number, line in enumerate(lines, 1) if line.is_flag_set(ismrmrd.ACQ_LAST_IN_REPETITION)]
    assert [{n for n, repetition in out[16:] if repetition == r} for r in range(3)] == [{last} for last in lasts]


def test_calibration_leaves_ahead_of_the_image():
    """At the first line of the image: maps are ready when the last one comes."""
    header, lines, _ = epi_scan(acceleration=2)
    gadget, _ = opened(header)
    calibrates = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    first = next(
        number
        for number, line in enumerate(lines)
        if not (is_noise(line) or is_navigator(line) or line.is_flag_set(calibrates))
    )
    out = list(gadget.process(iter(lines[: first + 1])))
    assert sum(line.is_flag_set(calibrates) for line in out[:-1]) == 20


def test_other_lines_pass_untouched(minimal_scan, make_acquisition):
    """One chain serves a site's Cartesian scans as well."""
    gadget, scan = EpiLines(), minimal_scan()
    gadget.open(scan)
    line = make_acquisition()
    assert gadget.scan_behind(scan) == scan
    (passed,) = gadget.process([line])
    assert passed is line


def test_flash_references_become_lines_of_the_image():
    """Cropped to its field of view, at its samples: what calibrates are the central lines of the same object."""
    header, lines, _ = epi_scan(EchoTrain(reference="flash"), acceleration=2)
    gadget, behind = opened(header)
    moved = [line for line in gadget.process(lines) if line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    assert {(line.encoding_space_ref, line.number_of_samples) for line in moved} == {(0, 48)}
    assert [line.idx.kspace_encode_step_1 for line in moved] == list(range(14, 34))
    assert behind.encodings[0].calibration_mode == "separate"


DESCRIPTIONS = {
    "no description": (lambda xml: xml.replace("ConventionalEPI", "SpiralEPI"), "encoding 0: EPI without a "
                       "ConventionalEPI description: ramp sampling unknown"),
    "too long": (lambda xml: xml.replace("<value>1120</value>", "<value>120</value>"), "encoding 0: ConventionalEPI: "
                 "96 samples of 26.6667 us take 2560 us, but the gradient lasts 1920 us"),
    "no number": (lambda xml: xml.replace("<value>26.666666666666668</value>", "<value>nan</value>"),
                  "encoding 0: dwellTime is 'nan', expected a number"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "sentence"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_what_is_not_described_is_refused_before_the_scan(scan, spoil, sentence):
    """Nobody can guess where the samples lie."""
    spoilt = spoil(scan[0])
    assert spoilt != scan[0]
    with pytest.raises(ValueError, match="^" + sentence):
        opened(spoilt)


def test_lines_of_another_length_are_refused(scan):
    """The positions are those of the header's samples."""
    gadget, _ = opened(scan[0].replace("<value>96</value>", "<value>90</value>"))
    with pytest.raises(ScanError, match="EPI lines have 96 samples, header says 90"):
        list(gadget.process(line for line in scan[1] if not is_noise(line)))


def test_without_it_epi_is_refused_by_the_name_of_what_helps(scan):
    """The buffer cannot know where the samples lie."""
    with pytest.raises(PipelineError) as refused:
        AcquisitionBuffer().open(Scan.from_xml(scan[0]))
    assert str(refused.value) == (
        "AcquisitionBuffer: encoding 0 has the trajectory epi; EpiLines must stand before, as in epi_sense, epi_grappa "
        "and epi_kband"
    )


def test_another_centre_is_told():
    """Siemens' converter names the centre line in user counter 5; its header's forgets partial Fourier."""
    header, lines, _ = epi_scan()
    for line in lines:
        line.idx.user[5] = 30
    gadget, _ = opened(header)
    notes = [line.notes for line in gadget.process(lines) if isinstance(line, NotedLine)]
    said = "lines name 30 as the centre of encoding step 1, the header 24"
    assert [one["ImageComments"] for one in notes] == [said]
