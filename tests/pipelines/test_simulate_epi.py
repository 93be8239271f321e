"""The simulated scanner's echo trains: what its header promises is what its lines hold."""

import ismrmrd
import ismrmrd.xsd
import pytest
from click.testing import CliRunner

from pipelines.commands.simulate import simulate
from pipelines.files.mrd_file import RawFile
from pipelines.simulation.epi_protocol import EchoTrain
from tests.pipelines.epi_scans import epi_scan, is_navigator


def parameters(encoding):
    described = encoding.trajectoryDescription
    return {one.name: one.value for one in (*described.userParameterLong, *described.userParameterDouble)}


@pytest.mark.parametrize("ramp_sampling", [True, False])
def test_the_header_describes_the_readout(ramp_sampling):
    """Samples, their time and the gradient's: they stand in the middle of it, and on the flat top if so told."""
    header, lines, _ = epi_scan(EchoTrain(ramp_sampling=ramp_sampling))
    told = parameters(ismrmrd.xsd.CreateFromDocument(header).encoding[0])
    assert {line.number_of_samples for line in lines} == {told["numSamples"]}
    readout = told["numSamples"] * told["dwellTime"]
    assert told["acqDelayTime"] * 2 + readout == pytest.approx(told["echoSpacing"])
    assert (readout > told["flatTopTime"] + 1) is ramp_sampling


def test_every_second_echo_is_read_in_reverse():
    """Navigators included: −, + and −, so that the first echo of the image is +."""
    _, lines, _ = epi_scan(noise_scan=False)
    reverse = [line.is_flag_set(ismrmrd.ACQ_IS_REVERSE) for line in lines]
    assert reverse == [n % 2 == 0 for n in range(3 + 48)]
    assert [is_navigator(line) for line in lines] == [True] * 3 + [False] * 48


def test_shots_interleave():
    """Each begins with navigators of its own, and has every n-th line."""
    _, lines, _ = epi_scan(EchoTrain(n_shots=3), noise_scan=False)
    rows = [line.idx.kspace_encode_step_1 for line in lines if not is_navigator(line)]
    assert rows == [*range(0, 48, 3), *range(1, 48, 3), *range(2, 48, 3)]
    assert [n for n, line in enumerate(lines) if is_navigator(line)] == [0, 1, 2, 19, 20, 21, 38, 39, 40]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--shots", "2"], "n_shots: only of --trajectory epi"),
        (["--trajectory", "epi", "--calibration", "embedded"], "'embedded', but lines of a train have one spacing"),
        (["--trajectory", "epi", "--interleaved"], "interleaved slices and held-out lines are simulated without"),
        (["--trajectory", "epi", "--shots", "99"], "99 shots of 16 lines, at most one for each expected"),
    ],
)
def test_what_no_train_does_is_refused(tmp_path, options, sentence):
    """Rather than a scan that is not what was asked for."""
    result = CliRunner().invoke(simulate, ["-o", str(tmp_path / "scan.h5"), "--matrix", "48", *options])
    assert result.exit_code == 1
    assert sentence in result.output


def test_the_command_writes_trains(tmp_path):
    """With separate calibration lines, since a train has no others."""
    options = ["--matrix", "48", "--coils", "2", "--slices", "1", "--trajectory", "epi", "--reference", "flash"]
    result = CliRunner().invoke(simulate, ["-o", str(tmp_path / "scan.h5"), *options])
    assert result.exit_code == 0, result.output
    with RawFile(tmp_path / "scan.h5") as raw:
        header = ismrmrd.xsd.CreateFromDocument(raw.header_xml)
        assert {line.encoding_space_ref for line in raw} == {0, 1}
    assert [encoding.trajectory.value for encoding in header.encoding] == ["epi", "cartesian"]
