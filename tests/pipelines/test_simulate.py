"""The simulated scanner: what its header promises is what its lines hold."""

from collections import Counter
from pathlib import Path

import ismrmrd
import ismrmrd.xsd
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from kband_core.fourier import resize, to_image
from pipelines.commands.simulate import simulate
from pipelines.files.mrd_file import RawFile
from pipelines.simulation.header_document import header_document
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import NOISE_LINES, simulate_scan
from pipelines.simulation.slab import Slab

ROOT = Path(__file__).parents[2]
SMALL = {"matrix": 48, "n_coils": 4, "n_slices": 3, "acs_lines": 12}


def flagged(acquisitions, flag):
    return [line for line in acquisitions if line.is_flag_set(flag)]


def image_lines(acquisitions):
    """Lines that belong to the image: neither noise nor calibration only."""
    never = ismrmrd.ACQ_IS_NOISE_MEASUREMENT, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    return [line for line in acquisitions if not any(line.is_flag_set(flag) for flag in never)]


@pytest.mark.parametrize("calibration", ["embedded", "separate", "none"])
def test_header_tells_the_truth_about_the_lines(calibration):
    """Limits, matrix, coils and calibration mode of the header are those of the lines, or buffers are misread."""
    xml, acquisitions, _ = simulate_scan(Protocol(**SMALL, calibration=calibration, partial_fourier=0.75))
    header = ismrmrd.xsd.CreateFromDocument(xml)
    encoding, system = header.encoding[0], header.acquisitionSystemInformation
    limit = encoding.encodingLimits.kspace_encoding_step_1
    steps = [line.idx.kspace_encode_step_1 for line in acquisitions[NOISE_LINES:]]
    assert (limit.minimum, limit.maximum, limit.center) == (min(steps), max(steps), 12)
    assert encoding.parallelImaging.accelerationFactor.kspace_encoding_step_1 == 3
    mode = encoding.parallelImaging.calibrationMode
    assert (mode.value if mode else "none") == calibration
    assert {line.data.shape for line in acquisitions} == {(system.receiverChannels, encoding.encodedSpace.matrixSize.x)}
    assert encoding.encodedSpace.fieldOfView_mm.x == 2 * encoding.reconSpace.fieldOfView_mm.x
    assert {line.measurement_uid for line in acquisitions} == {acquisitions[0].measurement_uid}


@pytest.mark.parametrize(
    ("calibration", "only", "both", "plain"), [("embedded", 8, 4, 12), ("separate", 12, 0, 16), ("none", 0, 0, 16)]
)
def test_each_kind_of_line_is_counted(calibration, only, both, plain):
    """48 rows at R=3 are 16 lines; 12 calibration rows hold 4 of them, and 8 that are not of the image."""
    _, acquisitions, _ = simulate_scan(Protocol(**SMALL, calibration=calibration))
    noise = flagged(acquisitions, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    assert noise == acquisitions[:NOISE_LINES]
    assert len(flagged(acquisitions, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)) == 3 * only
    assert len(flagged(acquisitions, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)) == 3 * both
    assert len(acquisitions) == NOISE_LINES + 3 * (only + both + plain)
    rows = {line.idx.kspace_encode_step_1 for line in image_lines(acquisitions)}
    assert rows == set(range(0, 48, 3))


@pytest.mark.parametrize("interleaved", [False, True])
def test_first_and_last_flags_enclose_their_loops(interleaved):
    """The scanner marks each loop's first and last line, once each, whatever the order of the loops."""
    protocol = Protocol(**SMALL, n_repetitions=2, n_averages=2, noise_scan=False, interleaved=interleaved)
    _, acquisitions, _ = simulate_scan(protocol)
    loops = {
        (ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_ENCODE_STEP1): ("repetition", "slice", "average"),
        (ismrmrd.ACQ_FIRST_IN_SLICE, ismrmrd.ACQ_LAST_IN_SLICE): ("repetition", "slice"),
        (ismrmrd.ACQ_FIRST_IN_REPETITION, ismrmrd.ACQ_LAST_IN_REPETITION): ("repetition",),
    }
    for flags, counters in loops.items():
        of_loop = [tuple(getattr(line.idx, name) for name in counters) for line in acquisitions]
        for flag, order in zip(flags, (1, -1), strict=True):
            ends = [n for n, line in enumerate(acquisitions) if line.is_flag_set(flag)]
            expected = {of_loop[::order].index(loop) for loop in set(of_loop)}
            assert sorted(ends if order == 1 else (len(of_loop) - 1 - n for n in ends)) == sorted(expected)
    assert flagged(acquisitions, ismrmrd.ACQ_LAST_IN_MEASUREMENT) == acquisitions[-1:]
    slices = [line.idx.slice for line in acquisitions]
    assert slices[:3] == ([0, 2, 1] if interleaved else [0, 0, 0])
    assert list(dict.fromkeys(slices)) == [0, 2, 1]


def test_noise_lines_obey_the_dwell_rule():
    """SD(noise line) = SD(image line) √(dwell ratio · 0.793): whitening relies on it (1,536 samples a coil: ±1.3 %)."""
    protocol = {**SMALL, "acceleration": 1, "n_slices": 1, "n_averages": 4}
    _, noisy, _ = simulate_scan(Protocol(**protocol, snr=1.0))
    _, clean, _ = simulate_scan(Protocol(**protocol, snr=1e6))
    noise_scan, image = noisy[:NOISE_LINES], noisy[NOISE_LINES:]
    of_noise = np.stack([line.data for line in noise_scan]).std(axis=(0, 2))
    of_image = np.stack([a.data - b.data for a, b in zip(image, clean[NOISE_LINES:], strict=True)]).std(axis=(0, 2))
    dwell_ratio = image[0].sample_time_us / noise_scan[0].sample_time_us
    assert dwell_ratio != 1
    np.testing.assert_allclose(of_noise / of_image, np.sqrt(dwell_ratio * 0.793), rtol=0.05)


@pytest.mark.parametrize("partial_fourier", [1.0, 0.75])
def test_lines_of_a_full_scan_transform_to_the_reference(partial_fourier):
    """Row = step + N/2 - centre, then one inverse DFT: the convention of the scanner and ours are the same."""
    protocol = Protocol(**SMALL, acceleration=1, partial_fourier=partial_fourier, snr=1e6, noise_scan=False)
    xml, acquisitions, reference = simulate_scan(protocol)
    centre = ismrmrd.xsd.CreateFromDocument(xml).encoding[0].encodingLimits.kspace_encoding_step_1.center
    kspace = torch.zeros(3, 4, 48, 96, dtype=torch.complex64)
    for line in image_lines(acquisitions):
        kspace[line.idx.slice, :, line.idx.kspace_encode_step_1 + 24 - centre] = torch.from_numpy(line.data)
    images = resize(to_image(kspace), (48,), dims=(-1,)).abs().square().sum(1).sqrt()
    expected = torch.stack([torch.from_numpy(image.data[0, 0]) for image in reference])
    error = float((images - expected).norm() / expected.norm())
    assert error < 1e-4 if partial_fourier == 1 else 0.02 < error < 0.3


def test_slices_lie_5_mm_apart_along_their_normal():
    """Position is the slice centre; directions are orthonormal and right-handed in patient coordinates."""
    _, acquisitions, reference = simulate_scan(Protocol(**SMALL))
    centres = {line.idx.slice: np.array(line.position[:]) for line in acquisitions[NOISE_LINES:]}
    line = acquisitions[-1]
    np.testing.assert_allclose(np.cross(line.read_dir, line.phase_dir), line.slice_dir, atol=1e-6)
    np.testing.assert_allclose(centres[1] - centres[0], 5 * np.array(line.slice_dir[:]), atol=1e-5)
    np.testing.assert_allclose(sum(centres.values()), 0, atol=1e-5)
    for image in reference:
        np.testing.assert_array_equal(image.position, centres[image.slice])


def test_lines_are_counted_and_timed():
    """One line per TR of 5 ms, in ticks of 2.5 ms; counters run without a gap."""
    _, acquisitions, _ = simulate_scan(Protocol(**SMALL))
    assert [line.scan_counter for line in acquisitions] == list(range(1, len(acquisitions) + 1))
    assert set(np.diff([line.acquisition_time_stamp for line in acquisitions])) == {2}
    assert Counter(line.center_sample for line in acquisitions[NOISE_LINES:]) == {48: len(acquisitions) - NOISE_LINES}


def test_same_seed_same_scan():
    """A scan can be told again from its options alone."""
    first, again, other = (simulate_scan(Protocol(**SMALL, seed=seed))[1] for seed in (1, 1, 2))
    assert first == again
    assert not np.array_equal(first[0].data, other[0].data)


def test_snr_is_white_matter_over_noise():
    """Twice the SNR is half the noise; white matter is 0.8 (variances differ by ±30 % between coils)."""
    _, acquisitions, _ = simulate_scan(Protocol(**{**SMALL, "n_coils": 16}, snr=10.0, acceleration=1))
    corners = np.stack([line.data[:, :4] for line in acquisitions[NOISE_LINES:][:4]])
    assert 0.8 / corners.real.std() == pytest.approx(10, rel=0.15)


def test_a_partial_echo_is_the_end_of_a_full_one():
    """70 % of 96 samples are 67: the first 29 were not read, and the centre of k-space is no longer in the middle."""
    protocol = {**SMALL, "acceleration": 1, "n_slices": 1}
    _, full, _ = simulate_scan(Protocol(**protocol))
    _, partial, _ = simulate_scan(Protocol(**protocol, partial_echo=0.7))
    for whole, part in zip(full[NOISE_LINES:], partial[NOISE_LINES:], strict=True):
        assert (part.number_of_samples, part.center_sample) == (67, 48 - 29)
        np.testing.assert_array_equal(part.data, whole.data[:, 29:])


@pytest.mark.parametrize(("local_phase", "imaginary"), [(0.0, 0.0024), (1.0, 0.058)])
def test_tissues_have_phases_of_their_own(local_phase, imaginary):
    """What stays imaginary where the smooth phase is taken off: a share of the energy that no low resolution tells."""
    protocol = {**SMALL, "n_coils": 1, "n_slices": 1, "acceleration": 1, "noise_scan": False, "snr": 1e6}
    _, lines, _ = simulate_scan(Protocol(**protocol, oversampling=1, local_phase=local_phase))
    kspace = torch.from_numpy(np.stack([line.data[0] for line in lines]))
    low = torch.zeros_like(kspace)
    low[20:29, 20:29] = kspace[20:29, 20:29]
    flat = to_image(kspace) * torch.sgn(to_image(low)).conj()
    assert float(flat.imag.square().sum() / flat.abs().square().sum()) == pytest.approx(imaginary, rel=0.1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"partial_fourier": 0.5}, "partial Fourier is 0.5, expected more than 0.5 and at most 1"),
        ({"partial_echo": 1.1}, "partial echo is 1.1, expected more than 0.5 and at most 1"),
        ({"acceleration": 25}, "acceleration is 25, expected 1 to 24"),
        ({"n_slices": 48}, "48 slices of 5 mm, but 1 to 47 cut the head"),
        ({"acs_lines": 50}, "50 calibration lines, but 1 to 48 fit around the centre of k-space"),
        ({"snr": 0.0}, "SNR is 0, expected more than 0"),
        ({"trajectory": "spiral", "delay": (0, 1)}, "spiral: gradient delays need trajectory radial, golden, stack"),
        ({"trajectory": "stack"}, "stack: a number of partitions needed, none of which is left out"),
        ({"trajectory": "radial", "slab": Slab(8), "n_slices": 1},
         "radial: a slab of partitions needs trajectory cartesian or stack"),
        ({"n_averages": 0}, "n_averages is 0, at least 1 expected"),
    ],
)
def test_impossible_protocols_are_refused(options, sentence):
    """A scanner refuses a protocol before it scans."""
    with pytest.raises(ValueError) as problem:  # noqa: PT011
        Protocol(**{**SMALL, **options})
    assert str(problem.value) == sentence


def test_command_writes_a_scan_and_refuses_to_overwrite_it(tmp_path):
    """`kband simulate` says what it wrote; a scan is never lost to a second one."""
    scan = tmp_path / "scan.h5"
    options = ["-o", str(scan), "--matrix", "48", "--coils", "4", "--acs-lines", "12"]
    first, second = (CliRunner().invoke(simulate, options) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith(f"{scan}: 88 lines of 4 coils")
    assert second.exit_code == 1
    assert f"Error: {scan}: exists already; give another name, or allow to overwrite it\n" in second.output
    with RawFile(scan) as raw:
        assert len(raw) == 88
        assert [image.slice for image in raw.reference()] == [0, 1, 2]


def test_held_out_lines_are_drawn_at_random():
    """First, as navigators of user flag 1, each image its own; the scan after them is the same, but for its noise."""
    protocol = Protocol(**SMALL, held_out_lines=6, snr=1e9)
    acquisitions, plain = (simulate_scan(p)[1][NOISE_LINES:] for p in (protocol, Protocol(**SMALL, snr=1e9)))
    held_out, rest = acquisitions[:18], acquisitions[18:]
    assert flagged(flagged(acquisitions, ismrmrd.ACQ_USER1), ismrmrd.ACQ_IS_NAVIGATION_DATA) == held_out
    rows = [[line.idx.kspace_encode_step_1 for line in held_out if line.idx.slice == n] for n in range(3)]
    assert [len(set(drawn)) for drawn in rows] == [6, 6, 6]
    assert rows[0] != rows[1] != rows[2]
    assert [len(protocol.all_rows), *(round(1 / line.user_float[0]) for line in held_out[:6])] == [46, 7, 8, 8, 7, 8, 8]
    for ours, without in zip(rest, plain, strict=True):
        np.testing.assert_allclose(ours.data, without.data, atol=1e-5)


def test_no_more_lines_are_held_out_than_there_are():
    """46 rows lie between the first and the last acquired."""
    with pytest.raises(ValueError, match="47 held-out lines, 0 to 46 expected"):
        Protocol(**SMALL, held_out_lines=47)


def test_headers_are_written_without_the_librarys_writer():
    """That of ismrmrd 1.14.0 fails in Gadgetron's environment; what takes its place writes the same as 1.15's."""
    header = ismrmrd.xsd.CreateFromDocument(simulate_scan(Protocol(**SMALL))[0])
    assert header_document(header) == ismrmrd.xsd.ToXML(header)
    sources = [path for floor in ("gadgets", "pipelines") for path in (ROOT / floor).rglob("*.py")]
    assert [path.name for path in sources if "xsd.ToXML" in path.read_text()] == []
