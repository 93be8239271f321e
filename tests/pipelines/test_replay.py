"""A raw file goes in, images come out, and the exit code says the truth."""

import shutil
import subprocess

import ismrmrd
import numpy as np
import pytest

from gadgets.scan import Scan
from pipelines.mrd_file import RawFile, read_images, write_raw
from pipelines.pipeline import Pipeline
from pipelines.run import Verdict, run
from pipelines.simulated_protocol import Protocol
from pipelines.simulated_scan import simulate_scan
from tests.command import kband


@pytest.mark.parametrize("pipeline", ["sense", "grappa", "sense_buffered", "grappa_buffered"])
def test_every_pipeline_restores_the_head(raw, tmp_path, pipeline):
    """R=2, SNR 200: the images agree with the noise-free reference to a few per cent (noise and Gibbs rings)."""
    result = kband("replay", raw, "-p", pipeline, "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "images.h5") in result.output
    scores = [float(line.split("NRMSE ")[1].split(" ")[0]) for line in result.output.splitlines() if "NRMSE" in line]
    assert len(scores) == 2
    assert max(scores) < 0.06


def test_direct_and_buffered_ways_give_the_same_images(raw, tmp_path):
    """Two ways in, one k-space: pixels are equal."""
    kband("replay", raw, "-p", "sense", "-o", tmp_path / "direct.h5")
    kband("replay", raw, "-p", "sense_buffered", "-o", tmp_path / "buffered.h5")
    direct, buffered = (
        {image.slice: image.data for image in read_images(tmp_path / name)} for name in ("direct.h5", "buffered.h5")
    )
    assert direct.keys() == buffered.keys() == {0, 1}
    assert all(np.array_equal(direct[number], buffered[number]) for number in direct)


def test_images_open_with_plain_ismrmrd(raw, tmp_path):
    """What we write is MRD to others: data, header and meta."""
    kband("replay", raw, "-o", tmp_path / "images.h5")
    dataset = ismrmrd.Dataset(str(tmp_path / "images.h5"), "dataset", create_if_needed=False)
    assert dataset.number_of_images("image_1") == 2
    image = dataset.read_image("image_1", 0)
    assert image.data.shape == (1, 1, 64, 64)
    assert image.data.dtype == np.uint16
    assert ismrmrd.Meta.deserialize(image.attribute_string)["kband_method"] == "SENSE"
    ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    dataset.close()


def test_several_files_go_to_a_folder(raw, scan, tmp_path):
    """One output per input, named after it and the pipeline."""
    other = tmp_path / "other.h5"
    write_raw(other, scan[0], scan[1])
    result = kband("replay", raw, other, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other_sense.h5", "scan_sense.h5"]


def test_one_bad_file_does_not_stop_the_others(raw, tmp_path):
    """The good one is written, the bad one named, the exit code is 1."""
    (tmp_path / "bad.h5").write_bytes(b"not HDF5")
    result = kband("replay", tmp_path / "bad.h5", raw, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.h5: not an HDF5 file" in result.output
    assert len(read_images(tmp_path / "out" / "scan_sense.h5")) == 2


def test_existing_output_is_kept(raw, tmp_path):
    """Images on disk are replaced only on request."""
    kband("replay", raw, "-o", tmp_path / "images.h5")
    before = (tmp_path / "images.h5").read_bytes()
    result = kband("replay", raw, "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert (tmp_path / "images.h5").read_bytes() == before
    assert kband("replay", raw, "-o", tmp_path / "images.h5", "--overwrite").exit_code == 0


def test_unknown_pipeline_is_named_with_those_there_are(raw, tmp_path):
    """A typing error costs one line of reading."""
    result = kband("replay", raw, "-p", "sens", "-o", tmp_path / "images.h5")
    assert result.exit_code == 1
    assert "no pipeline 'sens'; installed are grappa, grappa_buffered, " in result.output


def test_xml_file_may_be_given(raw, tmp_path):
    """A pipeline of one's own: a bare chain that stops at complex images."""
    chain = ["AcquisitionBuffer", "CoilSensitivities", "SenseRecon", "ImageArraySplit"]
    xml = "".join(f"<gadget><classname>{name}</classname></gadget>" for name in ["RemoveROOversampling", *chain])
    (tmp_path / "mine.xml").write_text(f"<configuration>{xml}</configuration>")
    result = kband("replay", raw, "-p", tmp_path / "mine.xml", "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    assert read_images(tmp_path / "images.h5")[0].data.dtype == np.complex64


def test_shepp_logan_of_ismrmrd_tools_goes_in_unchanged(tmp_path):
    """The field's standard test file: R=2, two repetitions of shifted lines, noise scan, header version 8."""
    generator = shutil.which("ismrmrd_generate_cartesian_shepp_logan")
    if generator is None:
        pytest.skip("ismrmrd-tools not installed")
    options = ["-m", "64", "-c", "4", "-a", "2", "-w", "20", "-r", "1", "-n", "0.001", "-C", "-o"]
    subprocess.run([generator, *options, str(tmp_path / "shepp.h5")], check=True, capture_output=True)
    result = kband("replay", tmp_path / "shepp.h5", "-o", tmp_path / "images.h5")
    assert result.exit_code == 0, result.output
    first, second = (image.data[0, 0].astype(float) for image in read_images(tmp_path / "images.h5"))
    assert np.linalg.norm(first - second) < 0.05 * np.linalg.norm(first)


def test_noise_is_whitened_to_one(tmp_path):
    """SD 1 per component after the scanner's dwell rule: a scan of pure noise, complex, combined with unit weights."""
    protocol = Protocol(matrix=64, n_coils=4, n_slices=1, acceleration=1, snr=1e-4)
    header, lines, _ = simulate_scan(protocol)
    write_raw(tmp_path / "noise.h5", header, lines)
    chain = ["NoiseAdjust", "RemoveROOversampling", "AcquisitionBuffer"]
    xml = "".join(f"<gadget><classname>{name}</classname></gadget>" for name in chain)
    pipeline = Pipeline.from_xml(f"<configuration>{xml}</configuration>")
    with RawFile(tmp_path / "noise.h5") as file:
        *_, buffer = run(pipeline, Scan.from_xml(file.header_xml), file, Verdict())
    sd = buffer.kspace.real.std(dim=(-2, -1)).flatten()
    # The noise scan has 16 × 128 samples a coil: its SD is known to 1/√(4·2048) = 1.1 %, the image's to 0.8 %.
    assert (sd - 1).abs().max() < 0.06
