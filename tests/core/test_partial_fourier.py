"""What is left out on one side of k-space can be told from the other side where the phase is smooth, and only there."""

import pytest
import torch

from kband_core.fourier import to_image, to_kspace
from kband_core.metrics import nrmse
from kband_core.partial_fourier import Span, homodyne, is_predictable, pocs, trusted_pocs
from kband_core.phantom import coil_kspace, head_phantom, loop_coils

METHODS = [homodyne, pocs, lambda image, spans: trusted_pocs(image, spans).image]


def head(shape=(64, 64), local_phase=0.0):
    """What one coil sees, which has a smooth phase."""
    phantom = head_phantom(local_phase=local_phase)
    return to_image(coil_kspace(phantom, loop_coils(1, object_phase=1.0), shape, oversampling=1)[0])


def without(image, spans):
    kspace = to_kspace(image)
    for span in spans:
        kspace = kspace * span.measured()
    return to_image(kspace)


def rows(n, first, stop):
    return Span(-2, n, first, stop)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("span", [rows(64, 20, 64), rows(64, 0, 44), rows(63, 20, 63), rows(63, 0, 43)])
def test_what_was_measured_stays(method, span):
    """Rows that were measured are no matter of opinion (rounding of float32)."""
    image = without(head((span.length, 64)), [span])
    change = to_kspace(method(image, [span]) - image) * span.measured()
    assert change.abs().max() < 1e-5 * to_kspace(image).abs().max()


@pytest.mark.parametrize(("method", "most"), [(METHODS[0], 0.35), (METHODS[1], 0.5), (METHODS[2], 0.5)])
@pytest.mark.parametrize("dim", [-1, -2])
def test_one_side_is_told_by_the_other_where_the_phase_is_smooth(method, most, dim):
    """At 6/8 of a head of 128² 0.21 to 0.26 of the error of zeros is left (homodyne), or 0.37 to 0.43 (POCS, auto)."""
    image = head((128, 128))
    spans = [Span(dim, 128, 32, 128)]
    zeros = without(image, spans)
    assert nrmse(method(zeros, spans).abs(), image.abs()) < most * nrmse(zeros.abs(), image.abs())


def test_a_prediction_is_trusted_where_the_phase_is_smooth():
    found = trusted_pocs(without(head(), [rows(64, 16, 64)]), [rows(64, 16, 64)])
    assert found.correlation > 0.95
    assert found.weight > 0.9


@pytest.mark.parametrize("first", [8, 16, 24])
def test_nothing_is_lost_where_phases_jump(first):
    """Phases of tissues differ by up to 1 rad: POCS makes the image worse, by 6 to 31 %, and the hidden strip tells."""
    image, spans = head(local_phase=1.0), [rows(64, first, 64)]
    zeros = without(image, spans)
    found = trusted_pocs(zeros, spans)
    assert found.weight < 0.15
    assert nrmse(pocs(zeros, spans).abs(), image.abs()) > nrmse(zeros.abs(), image.abs())
    assert nrmse(found.image.abs(), image.abs()) < 1.02 * nrmse(zeros.abs(), image.abs())


def test_noise_predicts_nothing():
    """A phase that jumps from pixel to pixel leaves the image as it came, bit for bit."""
    image = torch.randn(64, 64, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    zeros = without(image, [rows(64, 16, 64)])
    found = trusted_pocs(zeros, [rows(64, 16, 64)])
    assert found.weight == 0
    assert torch.equal(found.image, zeros)


@pytest.mark.parametrize("method", METHODS)
def test_only_samples_with_a_measured_mirror_image_change(method):
    """Left out along both axes, the corner where neither a sample nor its mirror image was measured stays empty."""
    spans = [rows(64, 20, 64), Span(-1, 64, 20, 64)]
    image = without(head(), spans)
    change = to_kspace(method(image, spans) - image).abs()
    mirrored = torch.zeros(64, 64, dtype=torch.bool)
    mirrored[1:45, 1:45] = True
    assert change[~mirrored].max() < 1e-5 * to_kspace(image).abs().max()
    assert change[mirrored].max() > 0


def test_what_both_sides_lack_stays_empty():
    """Rows 0 to 7 and 57 to 63 are padding, for smaller pixels: only rows 8 to 23 were left out."""
    span = rows(64, 24, 57)
    assert span.fraction == pytest.approx(33 / 50)
    image = without(head(), [span])
    change = to_kspace(pocs(image, [span]) - image).abs().amax(-1)
    assert change[:8].max() < 1e-5 * change.max()
    assert change[57:].max() < 1e-5 * change.max()


def test_too_narrow_a_strip_tells_no_phase():
    span = rows(64, 28, 64)
    assert not is_predictable([span])
    with pytest.raises(ValueError, match="4 samples on both sides of the centre, 6 needed"):
        trusted_pocs(head(), [span])


def test_partitions_are_an_axis_like_others():
    """Left out along kz, a volume is filled as each of its planes would be along ky."""
    plane = head()
    spans = [rows(64, 20, 64)]
    volume = plane[:, None, :].repeat(1, 3, 1)
    along_z = pocs(without(volume.movedim(1, 0), spans).movedim(0, 1), [Span(-3, 64, 20, 64)])
    expected = pocs(without(plane, spans), spans)
    assert torch.allclose(along_z[:, 1], expected, atol=1e-5 * expected.abs().max())
