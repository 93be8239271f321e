"""Images as DICOM: in the right place, nobody's but the patient's, and what is wrong with one in its name."""

import shutil
import subprocess

import numpy as np
import pytest

from gadgets.images.patient_affine import patient_affine
from gadgets.images.quantitative import OFFSET
from gadgets.mrd import ismrmrd
from pipelines.files.finished_file import FileProblem
from tests.export.scanned import FULL, header, image, slices

pydicom = pytest.importorskip("pydicom", reason="pip install kband[export]")
pytest.importorskip("highdicom", reason="pip install kband[export]")

from pipelines.export.dicom_sink import DicomFolder  # noqa: E402 - needs pydicom

OBLIQUE = tuple(np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].T)
CORONAL = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
MAP = {"kband_quantity": "g-factor", "RescaleSlope": "0.01", "RescaleIntercept": f"{-OFFSET / 100}",
       "SequenceDescriptionAdditional": "_SENSE_g-factor"}  # fmt: skip


def written(folder, images, xml=FULL, made_by="sense"):
    """The datasets of a folder, by file name."""
    with DicomFolder(folder, xml, made_by, overwrite=True) as sink:
        for each in images:
            sink.append(each)
    return {str(path.relative_to(folder)): pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))}


@pytest.mark.parametrize("directions", [OBLIQUE, CORONAL])
def test_pixels_lie_where_the_header_says(tmp_path, directions):
    """SimpleITK, which is not ours, reads the series and agrees to 0.01 mm at the corners of every slice."""
    sitk = pytest.importorskip("SimpleITK")
    images = slices(3, directions=directions)
    written(tmp_path / "out", images)
    reader = sitk.ImageSeriesReader()
    folder = str(next((tmp_path / "out").iterdir()))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    volume = reader.Execute()
    for each in images:
        affine = patient_affine(each.getHead())
        for x, y in ((0, 0), (11, 0), (0, 9), (5, 7)):
            here = (affine @ (x, y, 0, 1))[:3]
            index = volume.TransformPhysicalPointToContinuousIndex(here.tolist())
            assert np.abs(np.subtract(index[:2], (x, y))).max() * 2 < 0.01
            assert abs(index[2] - round(index[2])) * 7 < 0.01
            assert volume[x, y, round(index[2])] == each.data[0, 0, y, x]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="Debian package dicom3tools")
@pytest.mark.parametrize("xml", [FULL, header()])
def test_a_validator_finds_no_error(tmp_path, xml):
    """Neither in images nor in maps, whether the header says much or nothing."""
    written(tmp_path / "out", [image(), image(meta=MAP, image_series_index=11)], xml)
    files = list((tmp_path / "out").rglob("*.dcm"))
    assert len(files) == 2
    for file in files:
        done = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
        assert [text for text in done.stderr.splitlines() if text.startswith("Error")] == []


def test_the_patient_is_the_header_s(tmp_path):
    """Names, dates and echo times in DICOM's forms; times of the contrast."""
    (made,) = written(tmp_path / "out", [image(contrast=1)]).values()
    assert (made.PatientName, made.PatientID, made.PatientBirthDate) == ("Doe^Jane", "4711", "19700131")
    assert (made.StudyDate, made.StudyTime, made.StudyInstanceUID) == ("20261127", "093000", "1.2.3.4")
    assert (made.EchoTime, made.RepetitionTime, made.FlipAngle, made.ScanningSequence) == (9, 500, 15, "GR")
    assert (made.PatientPosition, made.MagneticFieldStrength) == ("HFS", 2.89362)


def test_nobody_is_made_up(tmp_path):
    """What the header does not say is empty, as the standard wants it."""
    (made,) = written(tmp_path / "out", [image()], header()).values()
    assert [made[key].value for key in ("PatientName", "PatientID", "StudyDate", "PatientSex")] == ["", "", "", ""]
    assert "PatientWeight" not in made
    assert made.ScanningSequence == "RM"


def test_what_is_wrong_is_in_the_description(tmp_path):
    """Fallbacks, images that lack lines and contradicting ones are series of their own, named so."""
    wrong = [
        image(),
        image(image_index=2, meta={"kband_complete": "no"}),
        image(image_index=3, meta={"kband_consistency": "8 × noise in line 4"}),
        image(image_index=1, image_series_index=101,
              meta={"kband_fallback": "no model", "SequenceDescriptionAdditional": "_SENSE_FALLBACK"}),
    ]  # fmt: skip
    made = written(tmp_path / "out", wrong)
    descriptions = [(each.SeriesNumber, each.SeriesDescription) for each in made.values()]
    assert sorted(descriptions) == [(1, "t1_tra_SENSE"), (1, "t1_tra_SENSE_INCOMPLETE"),
                                    (1, "t1_tra_SENSE_INCONSISTENT"), (101, "t1_tra_SENSE_FALLBACK")]  # fmt: skip
    assert len({each.SeriesInstanceUID for each in made.values()}) == 4


def test_the_maker_is_said_with_what_it_was_told(tmp_path):
    """By which method and weights, of how much of the noise these were told, and how many guises they saw."""
    meta = {"kband_model": "simulated_small", "kband_denoising": "0.5", "kband_self_ensemble": "4"}
    (made,) = written(tmp_path / "out", [image(meta=meta)]).values()
    said = made.ContributingEquipmentSequence[0].ContributionDescription
    assert "method SENSE" in said
    assert "model simulated_small; denoising 0.5; self_ensemble 4" in said


def test_a_long_protocol_name_loses_its_own_end(tmp_path):
    """Never what the series is: the method's name and what is wrong stay."""
    xml = FULL.replace("t1_tra", "t" * 90)
    (made,) = written(tmp_path / "out", [image(meta={"kband_complete": "no"})], xml).values()
    assert made.SeriesDescription == "t" * 47 + "_SENSE_INCOMPLETE"


def test_the_same_images_have_the_same_names(tmp_path):
    """An archive takes them once; those of another pipeline are another series of the same study."""
    once, again, other = (next(iter(written(tmp_path / "out", [image()], made_by=by).values()))
                          for by in ("sense", "sense", "grappa"))  # fmt: skip
    names = [(each.StudyInstanceUID, each.SeriesInstanceUID, each.SOPInstanceUID) for each in (once, again, other)]
    assert names[0] == names[1]
    assert names[0][0] == names[2][0]
    assert names[0][1] != names[2][1]
    assert names[0][2] != names[2][2]


def test_other_pixels_are_another_image(tmp_path):
    """An archive would keep the first of two images with one name, and drop the other without a word."""
    one, other = (next(iter(written(tmp_path / "out", [image(np.full((1, 1, 10, 12), value, np.uint16))]).values()))
                  for value in (1, 2))  # fmt: skip
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID


def test_partitions_are_planes_behind_one_another(tmp_path):
    """A volume is as many instances, each in its place."""
    volume = image(np.arange(360, dtype=np.uint16).reshape(1, 3, 10, 12), position=(1, 2, 3))
    made = written(tmp_path / "out", [volume])
    assert [each.ImagePositionPatient[2] for each in made.values()] == [-2, 3, 8]
    assert [each.InstanceNumber for each in made.values()] == [1, 2, 3]
    np.testing.assert_array_equal(list(made.values())[1].pixel_array, volume.data[0, 1])


def test_complex_images_become_magnitude_and_phase(tmp_path):
    """DICOM has no complex numbers, and nothing is dropped without a word."""
    pixels = np.exp(1j * np.linspace(-3, 3, 120)).reshape(1, 1, 10, 12).astype(np.complex64) * 50
    made = written(tmp_path / "out", [image(pixels, image_type=ismrmrd.IMTYPE_COMPLEX)])
    assert {each.SeriesNumber: list(each.ImageType)[2] for each in made.values()} == {1: "OTHER", 3001: "PHASE MAP"}
    phase = next(each for each in made.values() if each.SeriesNumber == 3001)
    values = phase.pixel_array * phase.RescaleSlope + phase.RescaleIntercept
    np.testing.assert_allclose(values, np.angle(pixels)[0, 0], atol=1e-4)


def test_channels_are_series(tmp_path):
    """Images of single coils stay apart."""
    made = written(tmp_path / "out", [image(np.ones((2, 1, 10, 12), np.uint16))])
    assert [each.SeriesDescription for each in made.values()] == ["t1_tra_SENSE_channel1", "t1_tra_SENSE_channel2"]


def test_maps_hold_their_unit_and_their_image(tmp_path):
    """Pixels of a Parametric Map are g itself; it refers to the plane it tells of."""
    pixels = np.full((1, 1, 10, 12), OFFSET + 150, np.uint16)
    made = written(tmp_path / "out", [image(), image(pixels, meta=MAP, image_series_index=11)])
    plane, parametric = sorted(made.values(), key=lambda each: each.SeriesNumber)
    np.testing.assert_allclose(parametric.pixel_array, 1.5, atol=1e-5)
    mapping = parametric.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.MeasurementUnitsCodeSequence[0].CodeValue, mapping.LUTExplanation) == ("1", "g-factor")
    references = parametric.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert [each.ReferencedSOPInstanceUID for each in references] == [plane.SOPInstanceUID]


def test_maps_say_their_unit(tmp_path):
    """Percent, hertz: in DICOM's code, so that a workstation can measure."""
    meta = {**MAP, "kband_quantity": "B0", "RescaleType": "Hz"}
    pixels = np.full((1, 1, 10, 12), OFFSET - 150, np.uint16)
    made = written(tmp_path / "out", [image(), image(pixels, meta=meta, image_series_index=71)])
    parametric = max(made.values(), key=lambda each: each.SeriesNumber)
    np.testing.assert_allclose(parametric.pixel_array, -1.5, atol=1e-5)
    (unit,) = parametric.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence
    assert (unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning) == ("Hz", "UCUM", "hertz")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (image(directions=np.zeros((3, 3))), "read direction (0, 0, 0), a unit vector expected"),
        (image(meta=MAP, image_series_index=11), "a map of 1 planes, whose image has 0"),
        (image(np.full((1, 1, 10, 12), np.nan, np.float32)), "pixels that are not finite"),
        (image(image_type=6), "image type 6, 1 (magnitude) to 5 (complex) expected"),
    ],
)
def test_what_cannot_be_placed_is_refused(tmp_path, bad, reason):
    """One sentence, and no folder that looks finished."""
    with pytest.raises(FileProblem) as problem:
        written(tmp_path / "out", [bad])
    number = bad.image_series_index
    assert str(problem.value) == f"{tmp_path}/out: image 1 of series {number} cannot be a DICOM image: {reason}"
    assert list(tmp_path.iterdir()) == []


def test_two_images_of_one_number_are_not_one_file(tmp_path):
    """The second would replace the first without a word."""
    with pytest.raises(FileProblem, match="has number 1, as another image of its series"):
        written(tmp_path / "out", [image(), image()])
