"""What a network sees and what judges it: an error here trains on the answer, or on nothing."""

import math
from dataclasses import replace

import pytest
import torch

from kband_core.bands import band_mask, band_weight, expected_coverage
from kband_core.fourier import to_kspace
from kband_core.patterns import ssdu_split
from kband_core.reconstruct import zero_filled
from kband_core.sampling import Grid
from kband_core.scaling import plane_scale
from kband_core.training.batches import stack
from kband_core.training.supervision import SUPERVISIONS, build_supervision
from kband_core.training.undersampling import Undersampling
from tests.training.disc import SHAPE, make_example, make_plane

ON_A_GRID = [name for name, kind in SUPERVISIONS.items() if kind.drawing is Undersampling]


@pytest.mark.parametrize("name", ON_A_GRID)
def test_input_is_what_the_mask_says(name):
    """K-space outside the mask would be the answer; inside it is what was acquired, at the scale of the target."""
    example = make_example(name)
    unscaled = example.kspace[0] / make_plane()[0].kspace[0]
    assert (example.kspace[:, ~example.sampling.mask.expand(SHAPE)] == 0).all()
    if name != "reference":
        assert torch.equal(example.kspace, example.target * example.sampling.mask)
        torch.testing.assert_close(plane_scale(example.kspace), torch.ones(()), rtol=0.1, atol=0)
        assert unscaled[example.sampling.mask.expand(SHAPE)].abs().std() < 1e-4


@pytest.mark.parametrize("name", ON_A_GRID)
def test_examples_follow_the_generator(name):
    """The same seed gives the same example, so that a resumed training is the uninterrupted one; another, another."""
    first, again, other = (make_example(name, seed=seed) for seed in (1, 1, 2))
    for field in ("kspace", "weight", "noise"):
        assert torch.equal(getattr(first, field), getattr(again, field))
    assert torch.equal(first.sampling.mask, again.sampling.mask)
    assert not torch.equal(first.sampling.mask, other.sampling.mask)


@pytest.mark.parametrize("name", ON_A_GRID)
def test_the_truth_has_almost_no_loss(name):
    """The object itself, at the example's scale, differs from the target by noise alone: a few per cent of it in ℓ1."""
    plane, image = make_plane()
    example = make_example(name, plane)
    scale = (plane.kspace / example.kspace)[0, 24, 20].abs()
    loss = build_supervision(name).loss
    one = stack([example])
    batch = (one.target_operator(), one.target, one.weight)
    assert loss(image[None, None] / scale, *batch) < 0.2 * loss(0 * image[None, None], *batch)


def test_supervised_sees_lines_and_is_judged_by_everything():
    """`(ky, 1)`: whole readout lines, so that data consistency needs no transform along kx; round(48/3) of them."""
    example = make_example("supervised")
    assert example.sampling.mask.shape == example.weight.shape == (48, 1)
    assert example.sampling.mask.sum() == 16
    assert (example.weight == 1).all()


def test_supervised_by_the_loss_of_ssdu():
    """Norm `normalised`, to compare fairly with `ssdu`: an object half as bright is wrong by half, in both norms."""
    plane, image = make_plane()
    example = make_example("supervised", plane)
    one = stack([example])
    batch = (one.target_operator(), one.target_operator().forward(image[None, None]), one.weight)
    loss = build_supervision("supervised", norm="normalised").loss
    assert loss(0.5 * image[None, None], *batch).item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("geometry", ["tangent", "blade", "strip"])
def test_kband_sees_and_is_judged_by_its_band(geometry):
    """Input: sampled lines within the band. Weight: W on the whole band, the samples of the input included."""
    example = make_example("kband", geometry=geometry)
    band = band_mask(SHAPE, 4, 30, geometry=geometry)
    lines = make_example("supervised").sampling.mask
    assert torch.equal(example.sampling.mask, lines & band)
    assert torch.equal(example.weight, band_weight(SHAPE, 4, geometry=geometry) * band)


def test_kband_options():
    """No W; the input of the whole scan; W of the angles of a study; another cap."""
    band, lines = band_mask(SHAPE, 4, 30), make_example("supervised").sampling.mask
    assert torch.equal(make_example("kband", weighted=False).weight, band.float())
    assert torch.equal(make_example("kband", decoupled=True).sampling.mask, lines)
    coverage = expected_coverage(SHAPE, 4, angles=[30.0, 90.0])
    study = make_example("kband", angles=[30.0, 90.0]).weight.double()
    torch.testing.assert_close(study, band / coverage.clamp(min=0.5))
    assert make_example("kband", cap=3.0).weight.max() == 3


def test_kband_in_logarithmic_measure():
    """A tenth of the image too bright is a tenth of the band's samples, whatever their weight; ln 0.1."""
    supervise, (plane, _) = build_supervision("kband", norm="relative", decoupled=True), make_plane()
    example = stack([make_example("kband", plane, norm="relative", decoupled=True)])
    image, operator = zero_filled(example.target, example.csm).unsqueeze(1), example.target_operator()
    bright = supervise.loss(1.1 * image, operator, operator.forward(image), example.weight)
    assert bright.item() == pytest.approx(math.log(0.1), abs=1e-3)


def test_a_band_from_a_scanner_is_judged_by_what_it_holds():
    """Its own angle counts, and neither input nor judgement reach beyond what was acquired."""
    acquired = band_mask(SHAPE, 4, 70, geometry="blade")
    acquired[:, :10] = False
    example = make_example("kband", make_plane(acquired, angle=70.0)[0], angle=5.0, geometry="blade")
    expected = acquired & band_mask(SHAPE, 4, 70, geometry="blade")
    assert torch.equal(example.weight > 0, expected)
    assert not (example.sampling.mask & ~expected).any()


def test_vertical_never_turns():
    """Band at angle 0 whatever the angle of the scan, 10 of 40 columns, all alike."""
    example = make_example("vertical", angle=77.0)
    assert torch.equal(example.weight, band_mask(SHAPE, 4, 0).float())
    assert example.weight.sum() == 48 * 10
    assert not (example.sampling.mask & (example.weight == 0)).any()


def test_square_is_central_and_as_large_as_a_band():
    """Side ⌊√(48·40/4)⌋ = 21 around DC."""
    example = make_example("square")
    expected = torch.zeros(SHAPE)
    expected[24 - 10 : 24 + 11, 20 - 10 : 20 + 11] = 1
    assert torch.equal(example.weight, expected)
    assert not (example.sampling.mask & (expected == 0)).any()


def test_ssdu_is_judged_by_what_it_does_not_see():
    """Θ and Λ are disjoint and together what the scan sampled: the same 16 lines in every epoch, split anew."""
    first, second = (make_example("ssdu", seed=seed) for seed in (1, 2))
    assert not (first.sampling.mask & (first.weight > 0)).any()
    assert torch.equal(first.sampling.mask | (first.weight > 0), second.sampling.mask | (second.weight > 0))
    assert not torch.equal(first.sampling.mask, second.sampling.mask)
    assert (first.sampling.mask.sum(), first.weight.sum()) == (9, 7)


def test_ssdu_takes_an_undersampled_scan_as_it_is():
    """No line is thrown away of a scan that has few."""
    acquired = torch.zeros(48, 1, dtype=torch.bool)
    acquired[::4] = acquired[20:28] = True
    example = make_example("ssdu", make_plane(acquired)[0])
    assert torch.equal(example.sampling.mask | (example.weight > 0), acquired)


def test_ssdu_leaves_lines_out_of_a_padded_scan():
    """Public data are padded with zeros: taken as they are, no line would ever be left out, as none was."""
    padded = (torch.arange(48) >= 3)[:, None] & (torch.arange(48) < 45)[:, None]
    example = make_example("ssdu", make_plane(padded)[0])
    sampled = example.sampling.mask | (example.weight > 0)
    assert not (sampled & ~padded).any()
    assert 10 <= sampled.sum() <= 16


def test_a_padded_scan_has_a_reference():
    """Its image is that of all that was acquired, as in the data sets that are published so."""
    padded = (torch.arange(48) >= 3)[:, None] & (torch.arange(48) < 45)[:, None]
    assert make_example("reference", make_plane(padded)[0]).target.shape == (1, *SHAPE)
    assert torch.equal(make_example("supervised", make_plane(padded)[0], norm="relative").weight, padded.float())


@pytest.mark.parametrize("acceleration", [3.0, 6.0])
def test_a_band_of_another_acceleration_is_refused(acceleration):
    """W is the inverse of how often bands of one size visit a sample: of another size, it favours the edge."""
    plane, _ = make_plane(band_mask(SHAPE, acceleration, 30.0), angle=30.0, band_acceleration=acceleration)
    sentence = f"band_acceleration: 4, but slice 0 of subject a is a band of {acceleration:g}, whose weight is another"
    with pytest.raises(ValueError, match=sentence):
        make_example("kband", plane)
    assert make_example("kband", plane, band_acceleration=acceleration).weight.max() > 1


def test_ssdu_scale_is_that_of_the_whole_scan():
    """At work all samples are there; Θ alone lacks some of the centre, and would be scaled differently."""
    example = make_example("ssdu")
    whole = plane_scale(make_plane()[0].kspace * (example.sampling.mask | (example.weight > 0)))
    torch.testing.assert_close(example.target, make_plane()[0].kspace / whole)


@pytest.mark.parametrize("name", ON_A_GRID)
def test_noise_is_that_of_the_samples(name):
    """Told from about 150 samples at the ends of the readout, within 25 %, at the scale of the input; bands too."""
    plane, _ = make_plane(noise=0.3)
    plane = replace(plane, kspace=7 * plane.kspace)
    example = make_example(name, plane, angle=0.0)
    scale = (plane.kspace / example.kspace)[0, 24, 20].abs()
    assert (example.noise * scale).item() == pytest.approx(7 * 0.3, rel=0.25)


def test_reference_target_is_the_combined_image():
    """One virtual coil: F of the object itself, but for noise, at one scale."""
    plane, image = make_plane()
    target, truth = make_example("reference", plane).target, to_kspace(image)
    gain = (target[0] * truth.conj()).sum() / truth.abs().square().sum()
    assert target.shape == (1, *SHAPE)
    assert (target[0] / gain - truth).norm() < 0.03 * truth.norm()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "moco"}, "supervision: no 'moco'; there are supervised, kband, ssdu, vertical, square, reference"),
        ({"name": "square", "cap": 3}, "supervision square: no option 'cap'; there are line_acceleration, acs_lines"),
        ({"name": "kband", "line_acceleration": [4, 2]}, "line_acceleration: 4 to 2, but at least 1 and a rising"),
        ({"name": "kband", "sampling": "spiral"}, "sampling: 'spiral' is not one of lines, equispaced, mixed, poisson"),
        ({"name": "kband", "norm": "L1"}, "norm: 'L1' is not one of l1, l2, relative"),
        ({"name": "vertical", "norm": "relative"}, "norm: 'relative' is not one of l1, l2$"),
        ({"name": "vertical", "band_acceleration": 0.5}, "band_acceleration: 0.5, at least 1 needed"),
    ],
)
def test_wrong_options_are_refused(options, sentence):
    """One sentence that names what there is."""
    with pytest.raises(ValueError, match=f"^{sentence}".replace("[", r"\[")):
        build_supervision(**options)


def test_impossible_planes_are_refused(rng):
    """A scan without an angle; a combined target without full data; lines for a split; ACS lines without room."""
    plane = make_plane()[0]
    with pytest.raises(ValueError, match="the plane has no band angle, and none was drawn"):
        make_example("kband", plane, angle=None)
    in_part = replace(plane, mask=plane.mask & (torch.arange(48) < 40)[:, None])
    with pytest.raises(ValueError, match="reference: a fully sampled plane needed"):
        make_example("reference", in_part)
    with pytest.raises(ValueError, match="a fully sampled plane needed for norm 'relative'; use normalised"):
        build_supervision("supervised", norm="relative")(in_part, rng)
    with pytest.raises(ValueError, match="ssdu_split: 2 samples to judge by, but 0 acquired outside the centre"):
        ssdu_split(Grid((torch.arange(48) // 4 == 6)[:, None].roll(-2, 0)), rng=rng)
    with pytest.raises(ValueError, match="ssdu_split: fraction is 1, between 0 and 1 needed"):
        ssdu_split(plane.acquired.sampling, fraction=1.0, rng=rng)
    with pytest.raises(ValueError, match="20 ACS lines, but acceleration 3 of 48 lines leaves 16"):
        make_example("kband", plane, acs_lines=(20, 30))
