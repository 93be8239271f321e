"""Shots along trajectories: where they lie, and which are missing."""

import re

import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.receiving.trajectory_buffer import TrajectoryBuffer
from gadgets.scan import Scan
from tests.gadgets.shots import SHOTS, N, copy, received, scanned

pytest.importorskip("finufft")


@pytest.mark.parametrize("trajectory", ["radial", "golden", "spiral"])
def test_samples_lie_where_the_scanner_says(trajectory):
    """ky comes first here, kx in the file; oversampled shots keep all samples that the recon matrix's k-space holds."""
    scan, lines, places = scanned(trajectory=trajectory)
    ((buffer,), error) = received(scan, lines)
    assert error is None
    inside = (places.abs() <= 0.5).all(-1).all(0)
    assert torch.equal(buffer.sampling.coords[0, 0, 0], places[:, inside])
    assert buffer.counts[0, 0, 0] == (SHOTS, SHOTS)


def test_shots_are_sorted_however_they_come():
    """The image does not depend on the order of what was measured."""
    scan, lines, _ = scanned()
    ((one,), _), ((other,), _) = received(scan, lines), received(scan, lines[::-1])
    assert torch.equal(one.kspace, other.kspace)
    assert torch.equal(one.sampling.coords, other.sampling.coords)


def test_an_image_leaves_with_its_last_shot():
    """The second slice's shots are not awaited."""
    scan, lines, _ = scanned(n_slices=2)
    gadget, n_read = TrajectoryBuffer(device="cpu"), 0
    gadget.open(scan)

    def counted():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    assert [n_read for _ in gadget.process(counted())] == [SHOTS, 2 * SHOTS]


def test_a_lost_shot_is_counted_and_weighs_nothing():
    """The image says 23 of 24, and has no zeros in place of what was not measured."""
    scan, lines, _ = scanned()
    ((buffer,), error) = received(scan, [*lines[:5], *lines[6:]])
    assert error is None
    assert str(buffer.counts[0, 0, 0]) == "23 of 24"
    assert buffer.kspace.shape[-2] == SHOTS - 1


def test_an_incomplete_repetition_leaves_when_the_second_after_it_begins():
    """A lost shot must not keep an image until the end of a long scan."""
    scan, lines, _ = scanned(n_repetitions=4)
    kept = [line for number, line in enumerate(lines) if number != 3]
    buffers, error = received(scan, kept)
    assert error is None
    assert [one.headers[0, 0, 0].idx.repetition for one in buffers] == [1, 0, 2, 3]


def test_spokes_without_trajectory_by_their_step():
    """E1 times the step, k from the centre sample: as if the scanner had told it (single precision)."""
    scan, lines, _ = scanned(trajectory="golden")
    bare = [copy(line, np.zeros((line.number_of_samples, 0))) for line in lines]
    ((told,), _) = received(scan, lines)
    ((stepped,), error) = received(scan, bare, angle_step=111.24612, delays="none")
    assert error is None
    torch.testing.assert_close(stepped.sampling.coords, told.sampling.coords, rtol=0, atol=1e-5)


def test_conjugate_turns_the_sign():
    """What the Siemens converter writes is turned; nothing in the data tells."""
    scan, lines, _ = scanned(trajectory="spiral")
    turned = [copy(line, -line.traj) for line in lines]
    ((straight,), _), ((again,), _) = received(scan, lines), received(scan, turned, conjugate=True)
    assert torch.equal(straight.sampling.coords, again.sampling.coords)


def test_weights_in_the_third_column_are_the_density():
    """As Gadgetron's own spiral and radial gadgets read them."""
    scan, lines, _ = scanned()
    weights = np.linspace(0.1, 1, lines[0].number_of_samples, dtype=np.float32)[:, None]
    ((buffer,), _) = received(scan, [copy(line, np.hstack([line.traj, weights])) for line in lines])
    assert torch.equal(buffer.sampling.density[0, 0, 0, 0], torch.from_numpy(weights[:, 0]))


def test_discarded_samples_take_their_places_along():
    """A converter leaves the trajectory of such samples unwritten."""
    scan, lines, _ = scanned(trajectory="spiral")
    tail = np.full((7, 2), np.nan)
    broken = [copy(line, np.vstack([line.traj[:-7], tail]), discard_post=7) for line in lines]
    ((whole,), _), ((cut,), error) = received(scan, lines), received(scan, broken)
    assert error is None
    n = cut.kspace.shape[-1]
    assert torch.equal(cut.sampling.coords, whole.sampling.coords[..., :n, :])
    assert torch.equal(cut.kspace, whole.kspace[..., :n])


def test_a_coarser_recon_matrix_drops_what_it_cannot_hold():
    """Cycles per pixel of the recon space: |k| up to 1 of pixels twice as large; what lies beyond 1/2 is left out."""
    scan, lines, _ = scanned()
    smaller = re.sub(r"(<reconSpace>.*?<x>)32(</x>\s*<y>)32", r"\g<1>20\g<2>20", scan.xml, flags=re.DOTALL)
    coarse = Scan.from_xml(smaller)
    ((buffer,), _) = received(coarse, lines)
    assert buffer.kspace.shape[-1] < 0.75 * 2 * N
    assert 0.45 < float(buffer.sampling.coords.abs().max()) <= 0.5


def test_what_is_no_plane_trajectory_is_refused_before_the_scan():
    """By name, before a patient is measured."""
    scan, _, _ = scanned()
    for old, new, sentence in (
        ("radial", "cartesian", "encoding 0 has the trajectory cartesian; radial, goldenangle, spiral, other expected"),
        ("<z>1</z>", "<z>8</z>",
         "encoding 0 has 8 steps along kz for 8 partitions, 0 before the centre, at R=1; a stack of stars needs all of "
         "both sides"),
    ):
        xml = scan.xml.replace(old, new)
        if "<z>8" in xml:
            xml = re.sub(r"(<kspace_encoding_step_2>.*?<maximum>)0", r"\g<1>7", xml, flags=re.DOTALL)
        with pytest.raises(PipelineError, match=rf"^TrajectoryBuffer: {re.escape(sentence)}$"):
            TrajectoryBuffer().open(Scan.from_xml(xml))


def test_shots_that_keep_away_from_the_centre_make_an_image_all_the_same():
    """None calibrates it, and it says so; in real time as well."""
    scan, lines, _ = scanned()
    away = [copy(line, traj=0.45 * np.ones_like(line.traj)) for line in lines]
    for window in ({}, {"spokes": SHOTS}):
        ((buffer,), error) = received(scan, away, **window)
        assert error is None
        assert buffer.acs is None
        assert "no sample lies in the 14 × 14 of the centre of k-space; nothing calibrates" in buffer.problems
