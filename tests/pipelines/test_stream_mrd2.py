"""A scan through pipes as MRD 2: the images of MRD 1, judged by the converters of mrd-python itself."""

import datetime
import io

import ismrmrd
import numpy as np
import pytest

from gadgets.errors import PipelineError, ScanError
from gadgets.scan import Scan
from tests.pipelines.test_stream import received, sent, through

mrd = pytest.importorskip("mrd", reason="MRD 2 needs mrd-python 2.2.1")
ismrmrd_to_mrd = pytest.importorskip("mrd.tools.ismrmrd_to_mrd", reason="MRD 2 needs mrd-python 2.2.1")

from mrd.tools.mrd_to_ismrmrd import convert_image  # noqa: E402

from pipelines.protocol.framing import WireError  # noqa: E402
from pipelines.protocol.mrd2_header import header_xml  # noqa: E402
from pipelines.protocol.mrd2_items import decode_line, encode_image  # noqa: E402


def as_mrd2(mrd1: bytes) -> bytes:
    outgoing = io.BytesIO()
    ismrmrd_to_mrd.convert_ismrmrd_stream_to_mrd(io.BytesIO(mrd1), outgoing)
    return outgoing.getvalue()


def images_of(mrd2: bytes) -> list[ismrmrd.Image]:
    with mrd.BinaryMrdReader(io.BytesIO(mrd2)) as reader:
        assert reader.read_header().encoding
        return [convert_image(item.value) for item in reader.read_data()]


@pytest.fixture(scope="module")
def incoming(scan) -> bytes:
    return as_mrd2(sent(scan))


def test_the_same_images_as_through_mrd1(scan, incoming):
    """The version is how a scan is told, not what it is: pixels, headers and meta are the same."""
    for ours, theirs in zip(received(through(sent(scan))), images_of(through(incoming)), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
        head, other = bytes(ours.getHead()), bytes(theirs.getHead())
        n_bytes = ismrmrd.ImageHeader.attribute_string_len.offset
        assert head[:n_bytes] == other[:n_bytes]
        assert {key: str(value) for key, value in ours.meta.items()} == {k: str(v) for k, v in theirs.meta.items()}


@pytest.mark.parametrize("n_missing", [1, 100])
def test_a_cut_stream_is_no_whole_scan(incoming, n_missing):
    """A stream of MRD 2 ends with a byte of its own; without it nobody knows whether more was to come."""
    sentence = r"the stream is cut off: an item of it cannot be read \(it ends there\); \d images? made of \d+ lines"
    with pytest.raises(ScanError, match=sentence):
        through(incoming[:-n_missing])


def test_another_schema_is_refused(incoming):
    """Fields stand one behind the other without names: with another schema they would be other fields."""
    with pytest.raises(PipelineError, match="no MRD 2 stream of the schema that is spoken here: Invalid schema"):
        through(incoming.replace(b"sampleTimeNs", b"sampleTimeUs", 1))


def with_item(incoming, item) -> bytes:
    """The stream with an item behind its lines."""
    outgoing = io.BytesIO()
    with mrd.BinaryMrdReader(io.BytesIO(incoming)) as reader, mrd.BinaryMrdWriter(outgoing) as writer:
        writer.write_header(reader.read_header())
        writer.write_data([*reader.read_data(), item])
    return outgoing.getvalue()


def test_images_behind_the_lines_are_passed_over(scan, incoming, caplog):
    """mrd-python's converter sends those that a raw file has, such as the reference of a simulated one."""
    assert images_of(through(with_item(incoming, encode_image(scan[2][0]))))
    assert "1 image came with the lines and is ignored" in caplog.text


def test_other_items_among_lines_are_no_scan(incoming):
    """A stream of something else is not dropped without a word."""
    array = mrd.StreamItem.ArrayComplexFloat(np.zeros(3, np.complex64))
    with pytest.raises(ScanError, match="an item arrayComplexFloat came among the lines"):
        through(with_item(incoming, array))


def test_a_stream_that_ends_in_its_schema_says_so(incoming):
    """Not the words in which a library stumbles."""
    with pytest.raises(PipelineError, match="it ends there"):
        through(incoming[:3000])


def test_every_word_of_a_header_passes_over():
    """What the edge forgets, no gadget can honour: limits, multiband, the trajectory's description."""
    double = mrd.UserParameterDoubleType(name="rampUpTime", value=0.1)
    limit = mrd.LimitType(minimum=1, maximum=9, center=4)
    fov = mrd.FieldOfViewMm(x=230.4, y=230.4, z=5.1)
    space = mrd.EncodingSpaceType(matrix_size=mrd.MatrixSizeType(x=10, y=12, z=1), field_of_view_mm=fov)
    header = mrd.Header(
        subject_information=mrd.SubjectInformationType(patient_gender=mrd.PatientGender.O),
        study_information=mrd.StudyInformationType(
            study_date=datetime.date(2026, 1, 2), study_time=mrd.yardl_types.Time(3_600_000_000_000)
        ),
        measurement_information=mrd.MeasurementInformationType(patient_position=mrd.PatientPosition.F_FS),
        acquisition_system_information=mrd.AcquisitionSystemInformationType(
            relative_receiver_noise_bandwidth=float(np.float32(0.793))
        ),
        encoding=[
            mrd.EncodingType(
                encoded_space=space, recon_space=space, trajectory=mrd.Trajectory.EPI, echo_train_length=7,
                encoding_limits=mrd.EncodingLimitsType(kspace_encoding_step_1=limit, user_3=limit),
                trajectory_description=mrd.TrajectoryDescriptionType(
                    identifier="ConventionalEPI", user_parameter_double=[double]
                ),
                parallel_imaging=mrd.ParallelImagingType(
                    acceleration_factor=mrd.AccelerationFactorType(kspace_encoding_step_1=2, kspace_encoding_step_2=1),
                    calibration_mode=mrd.CalibrationMode.SEPARATE,
                    multiband=mrd.MultibandType(multiband_factor=3, calibration=mrd.Calibration.FULL_3D),
                ),
            )
        ],
        sequence_parameters=mrd.SequenceParametersType(t_r=[5.5], t_e=[2.25]),
        user_parameters=mrd.UserParametersType(
            user_parameter_base64=[mrd.UserParameterBase64Type(name="blob", value="AAEC")]
        ),
    )  # fmt: skip
    told = Scan.from_xml(header_xml(header))
    said, encoding = told.header, told.encodings[0]
    assert (encoding.encoded_fov, encoding.acceleration, encoding.multiband) == ((230.4, 230.4, 5.1), (2, 1), 3)
    assert (encoding.step1.minimum, encoding.step1.maximum, encoding.step1.center) == (1, 9, 4)
    assert (told.noise_bandwidth, encoding.calibration_mode, encoding.trajectory) == (0.793, "separate", "epi")
    assert said.encoding[0].encodingLimits.user_3.maximum == 9
    assert said.encoding[0].trajectoryDescription.userParameterDouble[0].value == 0.1
    assert (said.subjectInformation.patientGender, said.measurementInformation.patientPosition.value) == ("O", "FFS")
    assert (str(said.studyInformation.studyDate), str(said.studyInformation.studyTime)) == ("2026-01-02", "01:00:00")
    assert (said.sequenceParameters.TR, said.sequenceParameters.TE) == ([5.5], [2.25])
    assert said.userParameters.userParameterBase64[0].value == b"\0\1\2"


def line(**changes) -> "mrd.Acquisition":
    return mrd.Acquisition(data=np.ones((2, 8), np.complex64), **changes)


def test_a_trajectory_is_read_in_either_order():
    """The schema says (dimension, sample); mrd-python's own converter writes (sample, dimension)."""
    trajectory = np.arange(16, dtype=np.float32).reshape(8, 2)
    for given in (trajectory, trajectory.T):
        np.testing.assert_array_equal(decode_line(line(trajectory=given)).traj, trajectory)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"phase": np.ones(8, np.float32)}, "phase offsets of its own"),
        ({"trajectory": np.zeros((2, 7), np.float32)}, "8 samples has a trajectory of 2 × 7"),
        ({"head": mrd.AcquisitionHeader(idx=mrd.EncodingCounters(slice=70000))}, "slice of a line is 70,000, at most"),
    ],
)
def test_what_mrd1_cannot_say_is_no_line(given, reason):
    """70,000 would become 4,464 in sixteen bits, without a word."""
    with pytest.raises(WireError, match=reason):
        decode_line(line(**given))


def test_what_a_line_leaves_out_is_not_guessed_at_its_edge():
    """Sample 0 as the echo would let half a line be taken for missing."""
    assert decode_line(line()).center_sample == 4
