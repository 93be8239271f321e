"""Losses: what counts, how much, and that a sample far off cannot take over."""

import math

import pytest
import torch

from kband_core.losses import kspace_loss, normalised_loss, predicted_kspace, relative_image_loss
from kband_core.operators import Sense


def scene(shape=(6, 8), n_sets=2, n_coils=3, batch=2):
    rng = torch.Generator().manual_seed(1)
    image = torch.randn(batch, n_sets, *shape, dtype=torch.complex128, generator=rng)
    csm = torch.randn(batch, n_sets, n_coils, *shape, dtype=torch.complex128, generator=rng)
    return image, csm, torch.ones(batch, *shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
def test_prediction_is_the_sense_model(shape):
    """F·S of the reconstruction and of the loss is the same operator."""
    image, csm, _ = scene(shape)
    forward = Sense(csm, torch.ones(2, *shape, dtype=torch.bool)).forward(image)
    torch.testing.assert_close(predicted_kspace(image, csm), forward)


@pytest.mark.parametrize(("norm", "distance"), [("l1", 5.0), ("l2", 25.0)])
def test_one_sample_counts_by_its_weight_over_all_samples(norm, distance):
    """A sample that is 3 + 4i off, weighted by 2: 2·5 or 2·25, over b·coil·ky·kx, weightless samples included."""
    image, csm, weight = scene()
    target = predicted_kspace(image, csm)
    target[1, 2, 4, 5] += 3 + 4j
    weight[:, :, :2] = 0
    weight[1, 4, 5] = 2
    loss = kspace_loss(image, csm, target, weight, norm=norm)
    assert loss.item() == pytest.approx(2 * distance / (2 * 3 * 6 * 8))


def test_samples_without_weight_do_not_count():
    """Outside the band there is no target: whatever stands there must change neither the loss nor its gradient."""
    image, csm, weight = scene()
    image.requires_grad_()
    weight[:, 3:] = 0
    target = predicted_kspace(image, csm).detach() * 1.1
    other = target.clone()
    other[:, :, 3:] = 1e6
    losses = [kspace_loss(image, csm, there, weight) for there in (target, other)]
    gradients = [torch.autograd.grad(loss, image)[0] for loss in losses]
    assert losses[0] == losses[1]
    assert torch.equal(*gradients)


def test_weight_of_lines_is_the_weight_of_their_samples():
    """`(b, ky, 1)` broadcasts along the readout."""
    image, csm, weight = scene()
    target = torch.zeros_like(predicted_kspace(image, csm))
    lines = torch.tensor([1.0, 0, 2, 0, 0, 3], dtype=torch.float64).expand(2, 6)[..., None]
    for loss in (kspace_loss, normalised_loss):
        torch.testing.assert_close(loss(image, csm, target + 1, lines), loss(image, csm, target + 1, lines * weight))


def test_gradient_is_finite_where_nothing_is_wrong():
    """|·| has no derivative at 0; an image that fits exactly must not give NaN."""
    image, csm, weight = scene()
    image.requires_grad_()
    for loss in (kspace_loss, normalised_loss):
        gradient = torch.autograd.grad(loss(image, csm, predicted_kspace(image, csm).detach(), weight), image)[0]
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_sample_far_off_does_not_pull_harder():
    """ℓ1: the gradient is the same for residuals 10⁴ times as large; ℓ2: 10⁴ times as large."""
    image, csm, weight = scene()
    image.requires_grad_()
    predicted = predicted_kspace(image, csm)
    residual = torch.randn(predicted.shape, dtype=predicted.dtype, generator=torch.Generator().manual_seed(2))

    def gradient(size, norm):
        target = (predicted - size * residual).detach()
        return torch.autograd.grad(kspace_loss(image, csm, target, weight, norm=norm), image)[0]

    torch.testing.assert_close(gradient(1e4, "l1"), gradient(1, "l1"))
    torch.testing.assert_close(gradient(1e4, "l2"), 1e4 * gradient(1, "l2"))


@pytest.mark.parametrize("gain", [0.0, 0.75, 3.0])
def test_normalised_loss_is_relative(gain):
    """An image too dark or bright by a factor has the relative error |1 - gain| in both norms, at any scale."""
    image, csm, weight = scene()
    weight[:, ::2] = 0
    target = 100 * predicted_kspace(image, csm)
    assert normalised_loss(gain * 100 * image, csm, target, weight).item() == pytest.approx(abs(1 - gain))


def test_normalised_loss_by_hand():
    """One judged sample 3 + 4i that is 1 - 2i off: ½ √5/5 + ½ 3/7; the plane beside it fits."""
    image, csm, weight = scene(n_sets=1, n_coils=1)
    target = predicted_kspace(image, csm)
    weight[0] = 0
    weight[0, 2, 2] = 1
    target[0, 0] = predicted_kspace(image, csm)[0, 0] / target[0, 0, 2, 2] * (3 + 4j)
    image[0] *= (4 + 2j) / predicted_kspace(image, csm)[0, 0, 2, 2]
    assert normalised_loss(image, csm, target, weight).item() == pytest.approx((5**0.5 / 5 + 3 / 7) / 2 / 2)


def test_relative_image_loss_counts_decibels():
    """Half the error everywhere is ln 2 less, whatever the error was; of images, so that maps explain every coil."""
    image, csm, _ = scene(n_sets=1)
    csm = csm / csm.norm(dim=2, keepdim=True)
    target = predicted_kspace(image, csm)
    losses = [float(relative_image_loss(image * (1 + error), csm, target)) for error in (0.2, 0.1, 0.05)]
    assert losses == pytest.approx([math.log(error) for error in (0.2, 0.1, 0.05)])


def test_relative_image_loss_of_nothing_is_finite():
    """Maps that are zero everywhere explain nothing: no such plane may stop a training."""
    image, csm, _ = scene()
    assert float(relative_image_loss(0 * image, 0 * csm, predicted_kspace(image, csm))) == 0


def test_mismatches_are_refused():
    """One sentence that names both sides."""
    image, csm, weight = scene()
    target = predicted_kspace(image, csm)
    with pytest.raises(ValueError, match="target has 2 along coil, but csm has 3"):
        kspace_loss(image, csm, target[:, :2], weight)
    with pytest.raises(ValueError, match="weight has 5 along ky, but image has 6"):
        kspace_loss(image, csm, target, weight[:, :5])
    with pytest.raises(ValueError, match="kspace_loss: no norm 'L1'; there are l1, l2"):
        kspace_loss(image, csm, target, weight, norm="L1")
