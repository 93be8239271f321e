"""The head as a volume: k-space from formulas."""

import math

import torch

from kband_core.fourier import to_image
from kband_core.phantom import head_phantom
from kband_core.phantom_samples import stack_samples_at
from kband_core.phantom_volume import RINGS_AT, Ellipsoid, head_ellipsoids, ring_coils, volume_kspace


def test_an_ellipsoid_has_the_integral_of_its_voxels():
    """Sum over 0.01 box voxels: 1 % off, at a frequency that sees all three axes, the centre and the angle."""
    ellipsoid = Ellipsoid(2.0, (0.3, 0.2, 0.1), (0.05, -0.1, 0.08), 0.5)
    k = [torch.tensor(value, dtype=torch.float64) for value in (1.0, -0.7, 1.6)]
    z, y, x = torch.meshgrid(*[torch.arange(-0.5, 0.5, 0.01, dtype=torch.float64) + 0.005] * 3, indexing="ij")
    offset = [r - c for r, c in zip((z, y, x), ellipsoid.centre, strict=True)]
    cos, sin = math.cos(0.5), math.sin(0.5)
    own = offset[0], cos * offset[1] - sin * offset[2], sin * offset[1] + cos * offset[2]
    inside = sum((r / semi).square() for r, semi in zip(own, ellipsoid.semi, strict=True)) <= 1
    phase = torch.exp(-2j * math.pi * sum(q * r for q, r in zip(k, (z, y, x), strict=True)))
    wanted = (2.0 * inside * phase).sum() * 1e-6
    assert abs(ellipsoid.kspace(*k) - wanted) < 0.01 * abs(wanted)


def test_the_volume_holds_the_slices_of_the_head():
    """Along one line through k = 0 in the plane, the transform to z is the area of each slice, weighted (2 %)."""
    kz = (torch.arange(256, dtype=torch.float64) - 128) / 2
    zero = torch.zeros((), dtype=torch.float64)
    line = sum(part.kspace(kz, zero, zero) for part in head_ellipsoids())
    along_z = to_image(line, (-1,)) * 256**0.5 / 2
    for z in (-40, 0, 20):
        wanted = head_phantom(z / 128 * 2).kspace(zero, zero)
        assert abs(along_z[128 + z].real - wanted.real) < 0.02 * abs(wanted.real)


def test_rings_see_what_is_near_them():
    """The upper ring's image is the brighter one near its height, by (1 + cos π(z − z₀))/2; halfway they are equal."""
    kspace = torch.stack(list(volume_kspace(ring_coils(8), (40, 16, 16), fov=(1.25, 1.0, 1.0), oversampling=1)), 1)
    energy = to_image(kspace, (-3, -2, -1)).abs().square().sum((-2, -1)).unflatten(0, (2, 4)).sum(1)
    upper = 20 + round(RINGS_AT / 1.25 * 40 / 1.6)
    lower = 40 - upper
    assert energy[1, upper] > 3 * energy[0, upper]
    assert energy[0, lower] > 3 * energy[1, lower]
    assert abs(energy[0, 20] / energy[1, 20] - 1) < 0.1


def test_a_stack_along_lines_of_the_grid_is_the_grid():
    """Two roads to the same samples, partition by partition (single precision)."""
    coils, shape, fov_z = ring_coils(4, object_phase=1.0), (5, 6, 8), 1.25
    grid = volume_kspace(coils, shape, fov=(fov_z, 1.0, 1.0), oversampling=1)
    ky, kx = torch.meshgrid(*(torch.arange(n) - n // 2 for n in shape[1:]), indexing="ij")
    stack = stack_samples_at(coils, torch.stack((ky, kx), -1), shape[0], fov_z)
    scale = math.sqrt(math.prod(shape)) / fov_z
    for plane, samples in zip(grid, stack, strict=True):
        torch.testing.assert_close(samples * scale, plane, rtol=1e-4, atol=1e-4)
