"""Bands: their size, where they lie, how often they visit a sample; half a sample off biases every training."""

import math
import re

import pytest
import torch

from kband_core.bands import band_mask, band_size, band_weight, expected_coverage

GEOMETRIES = ("tangent", "blade", "strip")


@pytest.mark.parametrize(("angle", "width"), [(0, 64.0), (15, 66.3), (30, 63.2), (45, 53.0), (90, 64.0), (150, 63.2)])
def test_width_of_tangent_bands(angle, width):
    """256², R=4, as tabulated for the published construction, to the digit given."""
    assert band_size((256, 256), 4, angle)[1] == pytest.approx(width, abs=0.05)


@pytest.mark.parametrize("shape", [(256, 256), (400, 300), (255, 320)])
def test_tangent_box_touches_the_border(shape):
    """Area H·W/R, and the box spans one of both extents of k-space exactly: solved for, so only rounding is left."""
    for angle in range(180):
        length, width = band_size(shape, 4, angle)
        cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
        spans = [(length * cos + width * sin) / shape[0], (length * sin + width * cos) / shape[1]]
        assert length * width == pytest.approx(shape[0] * shape[1] / 4, rel=1e-12)
        assert min(abs(span - 1) for span in spans) < 1e-9


@pytest.mark.parametrize(("shape", "n_columns"), [((16, 24), 6), ((15, 24), 6), ((17, 21), 5), ((16, 22), 5)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_band_at_angle_0_is_whole_rows_and_few_columns(shape, n_columns, geometry):
    """At angle 0 the long axis is axis 0; W/R columns from -w/2 on, and none more by an edge counted twice."""
    band = band_mask(shape, 4, 0, geometry=geometry)
    columns = band[0].nonzero().flatten() - shape[1] // 2
    assert torch.equal(band, band[:1].expand(shape))
    assert columns.tolist() == list(range(-math.floor(shape[1] / 8), -math.floor(shape[1] / 8) + n_columns))


@pytest.mark.parametrize(
    ("angle", "lower", "upper"), [(0, (0, -8), (0, 8)), (30, (16, 0), (-16, 0)), (90, (8, 0), (-8, 0))]
)
@pytest.mark.parametrize("geometry", ["blade", "strip"])
def test_one_edge_belongs_to_the_band(angle, lower, upper, geometry):
    """Samples exactly at t = -w/2 are in, at t = w/2 out: the sine of 30° is not ½ in floating point, cos 90° not 0."""
    band = band_mask((64, 64), 4, angle, geometry=geometry)
    assert band[32 + lower[0], 32 + lower[1]]
    assert not band[32 + upper[0], 32 + upper[1]]


def test_band_at_90_degrees_is_few_rows():
    """At 90° a band is as narrow in rows as it was in columns at 0°."""
    assert band_mask((32, 32), 4, 90).all(1).sum() == band_mask((32, 32), 4, 90).any(1).sum() == 8


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_positive_angles_turn_towards_increasing_columns(geometry):
    """30 samples from DC along (cos 20°, sin 20°) are inside, along (cos 20°, -sin 20°) outside."""
    band = band_mask((80, 80), 4, 20, geometry=geometry)
    row, column = round(30 * math.cos(math.radians(20))), round(30 * math.sin(math.radians(20)))
    inside = [band[40 + a, 40 + b].item() for a, b in ((row, column), (-row, -column), (row, -column), (-row, column))]
    assert inside == [True, True, False, False]


@pytest.mark.parametrize("shape", [(64, 64), (63, 49)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_angles_count_modulo_180(shape, geometry):
    """A box has no direction."""
    for angle in (0, 37.5, 90, 133):
        once = band_mask(shape, 4, angle, geometry=geometry)
        assert torch.equal(once, band_mask(shape, 4, angle + 180, geometry=geometry))
        assert torch.equal(once, band_mask(shape, 4, angle - 180, geometry=geometry))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_bands_are_physical(geometry):
    """Rows twice as far apart: every second row of the band in square k-space. The angle is that of the scanner."""
    for angle in (0, 30, 62.5, 110):
        square = band_mask((128, 128), 4, angle, geometry=geometry)
        assert torch.equal(band_mask((64, 128), 4, angle, geometry=geometry, aspect=2.0), square[::2])
    square = expected_coverage((128, 128), 4, geometry=geometry)
    torch.testing.assert_close(expected_coverage((64, 128), 4, geometry=geometry, aspect=2.0), square[::2])


@pytest.mark.parametrize(("shape", "tolerance"), [((256, 256), 0.00035), ((400, 300), 0.0012), ((255, 257), 0.003)])
def test_area_is_one_of_acceleration(shape, tolerance):
    """Samples counted, for every whole degree. Off by those cut by an edge, a few in ten thousand; at 400 x 300 by the
    tips of the box, which leave k-space near its diagonal; at odd sizes by a fraction of a column at 0°, 1/2/255."""
    areas = torch.stack([band_mask(shape, 4, angle).double().mean() for angle in range(180)])
    assert (areas - 0.25).abs().max() < tolerance
    assert (areas - 0.25).abs().mean() < 0.0002


@pytest.mark.parametrize(
    ("radius", "coverage"), [(48, 0.420), (64, 0.330), (96, 0.223), (120, 0.178), (127, 0.046), (0, 1.0)]
)
def test_coverage_of_tangent_bands(radius, coverage):
    """256², R=4, as tabulated for the published construction, to the digits given."""
    along_rows = expected_coverage((256, 256), 4)[128:, 128]
    along_columns = expected_coverage((256, 256), 4)[128, 128:]
    assert along_rows[radius].item() == pytest.approx(coverage, abs=0.0006)
    assert along_columns[radius].item() == pytest.approx(coverage, abs=0.0006)


def test_corners_are_never_covered():
    """256², R=4: 4.8 % of the samples lie in no tangent band, and E is the area of a band on average."""
    coverage = expected_coverage((256, 256), 4)
    assert (coverage == 0).double().mean().item() == pytest.approx(0.048, abs=0.0005)
    assert coverage.mean().item() == pytest.approx(0.25, abs=0.0001)


@pytest.mark.parametrize("shape", [(96, 96), (65, 80)])
@pytest.mark.parametrize("geometry", ["blade", "strip"])
def test_coverage_follows_the_closed_form(shape, geometry):
    """Share of angles at which |r sin| ≤ w/2 and |r cos| ≤ L/2, at single samples: an identity."""
    coverage = expected_coverage(shape, 4, geometry=geometry)
    width, length = shape[1] / 4, shape[0]
    for row, column in ((0, 0), (3, 5), (0, 30), (-20, 7), (30, -25), (-32, -32)):
        r = math.hypot(row, column)
        expected = 1 if r <= width / 2 else 2 / math.pi * math.asin(width / 2 / r)
        if geometry == "blade" and r > length / 2:
            expected = max(0, expected - 2 / math.pi * math.acos(length / 2 / r))
        assert coverage[shape[0] // 2 + row, shape[1] // 2 + column].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(64, 64), (75, 100), (49, 36)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_coverage_is_how_often_masks_visit(shape, geometry):
    """The integral against 1,800 masks: each edge that passes a sample is off by one mask at most, 1/1,800."""
    masks = expected_coverage(shape, 4, geometry=geometry, angles=torch.arange(0, 180, 0.1, dtype=torch.float64))
    difference = (expected_coverage(shape, 4, geometry=geometry) - masks).abs()
    assert difference.max() < 5 / 1800
    assert difference.mean() < 0.5 / 1800


def test_coverage_of_known_angles_is_the_mean_of_their_masks():
    """Exactly: it makes the weights of a finite study exact."""
    angles = [0.0, 20.0, 20.0, 131.7]
    masks = torch.stack([band_mask((40, 31), 5, angle) for angle in angles])
    assert torch.equal(expected_coverage((40, 31), 5, angles=angles), masks.double().mean(0))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_weight_makes_up_for_coverage(geometry):
    """W·E = 1 where W is not capped (float32), the cap elsewhere; 0 where no band comes, 1 in the centre."""
    coverage = expected_coverage((80, 61), 4, geometry=geometry)
    weight = band_weight((80, 61), 4, geometry=geometry, cap=6)
    counted = (weight * coverage)[coverage > 1 / 6]
    torch.testing.assert_close(counted, torch.ones_like(counted), rtol=1e-6, atol=0)
    assert (weight[(coverage <= 1 / 6) & (coverage > 0)] == 6).all()
    assert torch.equal(weight == 0, coverage == 0)
    assert weight.dtype == torch.float32
    assert weight[40, 30] == 1


@pytest.mark.parametrize(
    ("impossible", "sentence"),
    [
        (
            lambda: band_mask((640, 372), 3, 45),
            "band_mask: no tangent band at 45° in 640 x 372 for acceleration 3; "
            "at every angle there is one from acceleration 3.441 on",
        ),
        (lambda: band_size((8, 8), 0.5, 0), "band_size: acceleration is 0.5, at least 1 needed"),
        (lambda: band_mask((8, 8), math.nan, 0), "band_mask: acceleration is nan, at least 1 needed"),
        (lambda: band_mask((8,), 4, 0), "band_mask: shape is (8,), but k-space has (ky, kx), each at least 1"),
        (
            lambda: expected_coverage((8, 8), 4, geometry="round"),
            "expected_coverage: no geometry 'round'; there are tangent, blade, strip",
        ),
        (
            lambda: expected_coverage((8, 8), 4, aspect=0),
            "expected_coverage: aspect is 0, but it is the ratio of two lengths",
        ),
        (lambda: expected_coverage((8, 8), 4, angles=[]), "band angles []: a list of finite degrees needed"),
        (lambda: band_mask((8, 8), 4, math.inf), "band angles [inf]: a list of finite degrees needed"),
        (lambda: band_weight((8, 8), 4, cap=0.5), "band_weight: cap is 0.5, at least 1 needed"),
    ],
)
def test_impossible_bands_are_refused(impossible, sentence):
    """One sentence, word by word; the published code goes on with NaN."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        impossible()


def test_the_limit_is_the_limit():
    """Bands at all angles exist from 2 max/min on: at it, and not below; at angle 0 from 1 on."""
    limit = 2 * 64 / 48
    assert expected_coverage((64, 48), limit).max() == 1
    with pytest.raises(ValueError, match=r"from acceleration 2\.667 on"):
        expected_coverage((64, 48), limit - 0.01)
    assert band_mask((64, 48), 1, 0).all()
