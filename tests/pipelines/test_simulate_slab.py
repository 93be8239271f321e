"""Simulated slabs of partitions, undersampled along ky and kz."""


import ismrmrd
import ismrmrd.xsd
import pytest
from click.testing import CliRunner

from pipelines.commands.simulate import simulate
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan
from pipelines.simulation.slab import Slab
from tests.pipelines.test_simulate import image_lines


@pytest.mark.parametrize("elliptical", [False, True])
def test_a_slab_acquires_what_its_header_tells(elliptical):
    """Rows and partitions on a lattice through the centre, shifted from row to row; calibration lines besides."""
    slab = Slab(20, 2, 1, elliptical=elliptical)
    xml, acquisitions, (reference,) = simulate_scan(
        Protocol(matrix=24, n_coils=4, n_slices=1, acceleration=3, acs_lines=8, noise_scan=False, slab=slab)
    )
    encoding = ismrmrd.xsd.CreateFromDocument(xml).encoding[0]
    factor, limit = encoding.parallelImaging.accelerationFactor, encoding.encodingLimits.kspace_encoding_step_2
    assert (factor.kspace_encoding_step_1, factor.kspace_encoding_step_2) == (3, 2)
    assert (limit.minimum, limit.maximum, limit.center, encoding.encodedSpace.matrixSize.z) == (0, 19, 10, 20)
    places = {(line.idx.kspace_encode_step_2, line.idx.kspace_encode_step_1) for line in image_lines(acquisitions)}
    lattice = {(z, y) for z in range(20) for y in range(0, 24, 3) if (z - 10 - (y - 12) // 3) % 2 == 0}
    inside = {(z, y) for z, y in lattice if ((z - 10) / 10) ** 2 + ((y - 12) / 12) ** 2 <= 1}
    assert places == (inside if elliptical else lattice)
    assert reference.data.shape == (1, 20, 24, 24)


def test_random_lines_of_a_slab_are_few_and_hold_the_centre():
    """A Poisson disc of R=4, to 10 %; nothing of the calibration block is missing."""
    slab = Slab(32, 2, poisson=True)
    _, acquisitions, _ = simulate_scan(
        Protocol(matrix=32, n_coils=2, n_slices=1, acceleration=2, acs_lines=8, noise_scan=False, slab=slab)
    )
    places = {(line.idx.kspace_encode_step_2, line.idx.kspace_encode_step_1) for line in acquisitions}
    assert abs(len(places) - 32 * 32 / 4) < 26
    assert {(z, y) for z in range(12, 20) for y in range(12, 20)} <= places


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--caipi-shift", "1"], "a pattern in (ky, kz) needs --partitions"),
        (["--partitions", "8", "--caipi-shift", "1"], "CAIPI shift is 1, 0 to 0 are distinct at 1"),
        (["--partitions", "8", "--partition-acceleration", "5"], "partition acceleration is 5, expected 1 to 4"),
    ],
)
def test_a_slab_that_cannot_be_is_one_sentence(tmp_path, options, said):
    """What cannot be acquired is refused before a file is written."""
    result = CliRunner().invoke(simulate, ["-o", str(tmp_path / "scan.h5"), "--matrix", "32", *options])
    assert result.exit_code == 1
    assert said in result.output
