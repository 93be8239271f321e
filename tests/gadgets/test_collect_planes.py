"""Planes to train on are what the chain holds before reconstruction, no more and no less."""

from dataclasses import replace

import ismrmrd.xsd as mrd
import pytest
import torch

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.errors import PipelineError, ScanError
from gadgets.items import ReconBuffer
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.collect_planes import CollectPlanes, band_of
from gadgets.scan import Scan
from kband_core.bands import band_mask
from kband_core.coils import combine
from kband_core.fourier import to_image
from tests.gadgets.heads import N, reconstruct


def planes(scan, lines):
    """The planes of a scan."""
    return reconstruct(scan, lines, AcquisitionBuffer(device="cpu"), CoilSensitivities(), CollectPlanes())


def refusal(scan, lines) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(ScanError) as refused:
        planes(scan, lines)
    return str(refused.value)


def with_user_parameters(scan, **values) -> Scan:
    scan.header.userParameters = mrd.userParametersType(
        userParameterDouble=[mrd.userParameterDoubleType(name=name, value=value) for name, value in values.items()]
    )
    return Scan.from_xml(mrd.ToXML(scan.header))


def test_every_image_is_a_plane(head_scan, lines_of, head):
    """Without noise scan and oversampling nothing is done to the samples: they come out as they went in."""
    made = planes(
        head_scan(slice=2, repetition=2),
        [line for r in range(2) for s in range(2) for line in lines_of(slice=s, repetition=r)],
    )
    assert [(plane.slice, plane.repetition) for plane in made] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    for plane in made:
        assert torch.equal(plane.kspace, torch.from_numpy(head))
        assert plane.mask.shape == (N, 1)
        assert plane.mask.all()
        assert plane.angle is None


def test_what_was_not_acquired_is_masked(head_scan, lines_of, head):
    """Else a network would be taught that the missing lines are zero."""
    (plane,) = planes(head_scan(acceleration=2), lines_of(2))
    rows = torch.arange(N)
    acquired = (rows % 2 == 0) | ((rows >= 22) & (rows < 42))
    assert torch.equal(plane.mask[:, 0], acquired)
    assert torch.equal(plane.kspace, torch.from_numpy(head) * acquired.unsqueeze(-1))


def test_the_maps_are_those_of_the_plane(head_scan, lines_of):
    """Σ_c conj(S_c) I_c keeps the energy of the coil images: at least 99 % within the object."""
    (plane,) = planes(head_scan(), lines_of())
    images = to_image(plane.kspace)
    inside = plane.csm.abs().square().sum((0, 1)) > 0.5
    kept = combine(images, plane.csm)[0].abs().square()[inside].sum()
    assert kept > 0.99 * images.abs().square()[:, inside].sum()


def test_partitions_are_planes(minimal_scan, make_acquisition, head):
    """A slab is cut into slices once kz is transformed; they are numbered through it."""
    scan = minimal_scan((N, N, 3), (256.0, 256.0, 15.0), oversampling=1)
    weights = (1.0, 2.0, 0.5)
    lines = [
        make_acquisition(weights[z] * head[:, row], kspace_encode_step_1=row, kspace_encode_step_2=z)
        for z in range(3) for row in range(N)
    ]  # fmt: skip
    made = planes(scan, lines)
    assert [plane.slice for plane in made] == [0, 1, 2]
    expected = to_image(torch.tensor(weights, dtype=torch.complex64), (-1,)).abs()
    energy = torch.stack([torch.linalg.vector_norm(plane.kspace) for plane in made])
    assert torch.allclose(energy / energy[1], expected / expected[1], rtol=1e-4)


def test_without_calibration_there_is_nothing_to_train_on(head_scan, lines_of):
    """A plane without maps is named by the scan, not met by the training."""
    sentence = refusal(head_scan(acceleration=3), lines_of(3, acs=()))
    assert sentence.startswith("CollectPlanes: slice 0 has no coil maps, so no plane can be trained on (CoilSens")


def test_a_scan_that_lost_lines_is_refused(head_scan, lines_of):
    """What is missing by accident is no sampling pattern."""
    sentence = refusal(head_scan(), list(lines_of())[:-5])
    assert sentence == "CollectPlanes: slice 0 has 59 of 64 lines; a scan that lost lines is not trained on"


def test_a_readout_that_turns_is_refused(head_scan, lines_of):
    """In its own frame every blade is the band at 0°: a network would learn that only one band exists."""
    lines = [
        *lines_of(header={"read_dir": (1.0, 0.0, 0.0)}),
        *lines_of(repetition=1, header={"read_dir": (0.866, 0.5, 0.0)}),
    ]
    sentence = refusal(head_scan(repetition=2), lines)
    assert sentence.startswith("CollectPlanes: the readout of slice 0 turns during the scan; blades are not supported")


def test_another_encoding_may_be_read_along_another_direction(head_scan, lines_of):
    """It is another image of the same slice, not a blade of this one."""
    turned = {"read_dir": (0.0, 1.0, 0.0), "encoding_space_ref": 1}
    lines = [*lines_of(header={"read_dir": (1.0, 0.0, 0.0)}), *lines_of(header=turned)]
    assert len(planes(head_scan(n_encodings=2), lines)) == 2


@pytest.mark.parametrize(("name", "what"), [("kspace", "k-space"), ("csm", "the coil maps")])
def test_what_is_not_finite_is_refused(name, what, head_scan, lines_of):
    """One NaN makes every weight of a network NaN."""
    scan = head_scan()
    items = reconstruct(scan, lines_of(), AcquisitionBuffer(device="cpu"), CoilSensitivities())
    (buffer,) = (item for item in items if isinstance(item, ReconBuffer))
    broken = getattr(buffer, name).clone()
    broken.view(-1)[7] = torch.nan
    gadget = CollectPlanes()
    gadget.open(scan)
    with pytest.raises(ScanError, match=rf"^CollectPlanes: slice 0: 1 number of {what} is not finite$"):
        list(gadget.process([replace(buffer, **{name: broken})]))


def test_a_band_is_known_by_its_header(head_scan, lines_of):
    """A simulated band is masked Cartesian k-space: only what lies in it was acquired."""
    scan = with_user_parameters(head_scan(), band_angle=30.0, band_acceleration=2.5)
    (plane,) = planes(scan, lines_of())
    assert plane.angle == 30.0
    assert band_of(scan) == (2.5, 30.0)
    assert torch.equal(plane.mask, band_mask((N, N), 2.5, 30.0))
    assert not plane.kspace[:, ~plane.mask].any()


def test_half_a_band_is_refused(head_scan):
    """Its angle alone does not tell which samples were acquired."""
    with pytest.raises(PipelineError, match=r"^CollectPlanes: the header must name both band_angle and band_acc"):
        CollectPlanes().open(with_user_parameters(head_scan(), band_angle=30.0))


def test_a_band_that_does_not_exist_is_refused(head_scan, lines_of):
    """A header may say anything."""
    scan = with_user_parameters(head_scan(), band_angle=45.0, band_acceleration=1.2)
    assert refusal(scan, lines_of()).startswith("CollectPlanes: slice 0: band_mask: ")
