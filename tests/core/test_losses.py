"""Losses: what counts, how much, and that a sample far off cannot take over."""

import math

import pytest
import torch

from kband_core.losses import kspace_loss, normalised_loss, relative_image_loss, relative_part_loss
from kband_core.operators import predicted_kspace
from tests.laws import all_samples


def scene(shape=(6, 8), n_sets=2, n_coils=3, batch=2):
    rng = torch.Generator().manual_seed(1)
    image = torch.randn(batch, n_sets, *shape, dtype=torch.complex128, generator=rng)
    csm = torch.randn(batch, n_sets, n_coils, *shape, dtype=torch.complex128, generator=rng)
    return image, all_samples(csm), torch.ones(batch, *shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
def test_prediction_is_the_sense_model(shape):
    """F·S of the reconstruction and of the loss is the same operator."""
    image, operator, _ = scene(shape)
    torch.testing.assert_close(predicted_kspace(image, operator.csm), operator.forward(image))


@pytest.mark.parametrize(("norm", "distance"), [("l1", 5.0), ("l2", 25.0)])
def test_one_sample_counts_by_its_weight_over_all_samples(norm, distance):
    """A sample that is 3 + 4i off, weighted by 2: 2·5 or 2·25, over b·coil·ky·kx, weightless samples included."""
    image, operator, weight = scene()
    target = operator.forward(image)
    target[1, 2, 4, 5] += 3 + 4j
    weight[:, :, :2] = 0
    weight[1, 4, 5] = 2
    loss = kspace_loss(image, operator, target, weight, norm=norm)
    assert loss.item() == pytest.approx(2 * distance / (2 * 3 * 6 * 8))


def test_samples_without_weight_do_not_count():
    """Outside the band there is no target: whatever stands there must change neither the loss nor its gradient."""
    image, operator, weight = scene()
    image.requires_grad_()
    weight[:, 3:] = 0
    target = operator.forward(image).detach() * 1.1
    other = target.clone()
    other[:, :, 3:] = 1e6
    losses = [kspace_loss(image, operator, there, weight) for there in (target, other)]
    gradients = [torch.autograd.grad(loss, image)[0] for loss in losses]
    assert losses[0] == losses[1]
    assert torch.equal(*gradients)


def test_weight_of_lines_is_the_weight_of_their_samples():
    """`(b, ky, 1)` broadcasts along the readout."""
    image, operator, weight = scene()
    target = torch.zeros_like(operator.forward(image))
    lines = torch.tensor([1.0, 0, 2, 0, 0, 3], dtype=torch.float64).expand(2, 6)[..., None]
    for loss in (kspace_loss, normalised_loss, relative_part_loss):
        of_lines, of_samples = (loss(image, operator, target + 1, each) for each in (lines, lines * weight))
        torch.testing.assert_close(of_lines, of_samples)


def test_gradient_is_finite_where_nothing_is_wrong():
    """|·| has no derivative at 0; an image that fits exactly must not give NaN."""
    image, operator, weight = scene()
    image.requires_grad_()
    for loss in (kspace_loss, normalised_loss, relative_part_loss):
        gradient = torch.autograd.grad(loss(image, operator, operator.forward(image).detach(), weight), image)[0]
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_sample_far_off_does_not_pull_harder():
    """ℓ1: the gradient is the same for residuals 10⁴ times as large; ℓ2: 10⁴ times as large."""
    image, operator, weight = scene()
    image.requires_grad_()
    predicted = operator.forward(image)
    residual = torch.randn(predicted.shape, dtype=predicted.dtype, generator=torch.Generator().manual_seed(2))

    def gradient(size, norm):
        target = (predicted - size * residual).detach()
        return torch.autograd.grad(kspace_loss(image, operator, target, weight, norm=norm), image)[0]

    torch.testing.assert_close(gradient(1e4, "l1"), gradient(1, "l1"))
    torch.testing.assert_close(gradient(1e4, "l2"), 1e4 * gradient(1, "l2"))


@pytest.mark.parametrize("gain", [0.0, 0.75, 3.0])
def test_normalised_loss_is_relative(gain):
    """An image too dark or bright by a factor has the relative error |1 - gain| in both norms, at any scale."""
    image, operator, weight = scene()
    weight[:, ::2] = 0
    target = 100 * operator.forward(image)
    assert normalised_loss(gain * 100 * image, operator, target, weight).item() == pytest.approx(abs(1 - gain))


def test_normalised_loss_by_hand():
    """One judged sample 3 + 4i that is 1 - 2i off: ½ √5/5 + ½ 3/7; the plane beside it fits."""
    image, operator, weight = scene(n_sets=1, n_coils=1)
    target = operator.forward(image)
    weight[0] = 0
    weight[0, 2, 2] = 1
    target[0, 0] = operator.forward(image)[0, 0] / target[0, 0, 2, 2] * (3 + 4j)
    image[0] *= (4 + 2j) / operator.forward(image)[0, 0, 2, 2]
    assert normalised_loss(image, operator, target, weight).item() == pytest.approx((5**0.5 / 5 + 3 / 7) / 2 / 2)


def test_relative_image_loss_counts_decibels():
    """Half the error everywhere is ln 2 less, whatever the error was; of images, so that maps explain every coil."""
    image, operator, _ = scene(n_sets=1)
    operator = all_samples(operator.csm / operator.csm.norm(dim=2, keepdim=True))
    target = operator.forward(image)
    losses = [float(relative_image_loss(image * (1 + error), operator, target)) for error in (0.2, 0.1, 0.05)]
    assert losses == pytest.approx([math.log(error) for error in (0.2, 0.1, 0.05)])


def test_relative_image_loss_of_nothing_is_finite():
    """Maps that are zero everywhere explain nothing: no such plane may stop a training."""
    image, operator, _ = scene()
    assert float(relative_image_loss(0 * image, all_samples(0 * operator.csm), operator.forward(image))) == 0


def whole(csm):
    """The operator of all samples with maps that explain every coil, as ESPIRiT's do."""
    return all_samples(csm / csm.norm(dim=2, keepdim=True))


def test_relative_part_loss_of_all_samples_is_that_of_images():
    """‖x − r‖₂/‖r‖₂, of which `relative_image_loss` takes the logarithm too."""
    image, operator, weight = scene(n_sets=1)
    operator = whole(operator.csm)
    other = torch.randn(image.shape, dtype=image.dtype, generator=torch.Generator().manual_seed(3))
    length = torch.linalg.vector_norm
    ratio = length(other, dim=(1, 2, 3)) / length(image, dim=(1, 2, 3))
    loss = relative_part_loss(image + other, operator, operator.forward(image), weight)
    assert loss.item() == pytest.approx(ratio.log().mean().item())


def test_relative_part_loss_weighs_samples_as_l2_does():
    """Of one plane, with weights that differ little between samples nearby, as those of bands: the same direction."""
    image, operator, _ = scene((24, 32), n_sets=1, n_coils=4, batch=1)
    y, x = (torch.linspace(0, 1, n, dtype=torch.float64) for n in (24, 32))
    smooth = torch.polar(1 + y[:, None] * torch.arange(4)[:, None, None], x * torch.arange(4)[:, None, None])
    operator = whole(smooth[None, None])
    weight = (1 + y[:, None] + x)[None]
    target = operator.forward(torch.zeros_like(image))
    image.requires_grad_()
    gradients = [
        torch.autograd.grad(loss, image)[0].flatten() for loss in (
            relative_part_loss(image, operator, target + 1e-3 * operator.forward(image.detach().roll(1, -1)), weight),
            kspace_loss(image, operator, target, weight, norm="l2"),
        )
    ]  # fmt: skip
    cosine = torch.vdot(*gradients).real / gradients[0].norm() / gradients[1].norm()
    assert cosine > 0.99


def test_relative_part_loss_does_not_count_noise_that_no_image_changes():
    """Between coils: beside that of eight of them the gain in a noisy plane would look small."""
    image, operator, weight = scene(n_sets=1, n_coils=8)
    operator = whole(operator.csm)
    target = operator.forward(image)
    noise = torch.randn(target.shape, dtype=target.dtype, generator=torch.Generator().manual_seed(4))
    between = noise - operator.forward(operator.adjoint(noise))
    clean, noisy = (relative_part_loss(1.1 * image, operator, each, weight) for each in (target, target + 9 * between))
    assert noisy.item() == pytest.approx(clean.item())
    assert kspace_loss(1.1 * image, operator, target + 9 * between, weight, norm="l2") > 100 * kspace_loss(
        1.1 * image, operator, target, weight, norm="l2"
    )


def test_mismatches_are_refused():
    """One sentence that names both sides."""
    image, operator, weight = scene()
    target = operator.forward(image)
    with pytest.raises(ValueError, match="target has 2 along coil, but csm has 3"):
        kspace_loss(image, operator, target[:, :2], weight)
    with pytest.raises(ValueError, match="weight has 5 along ky, but image has 6"):
        kspace_loss(image, operator, target, weight[:, :5])
    with pytest.raises(ValueError, match="kspace_loss: no norm 'L1'; there are l1, l2"):
        kspace_loss(image, operator, target, weight, norm="L1")
