"""Geometry nobody can get wrong: where the header says that a pixel lies, there it lies."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gadgets.images.patient_affine import patient_affine
from gadgets.mrd import ismrmrd

ORIENTATIONS = [
    tuple(sign * np.eye(3)[axis] for sign, axis in zip(signs, axes, strict=True))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def header(directions=None, *, position=(0, 0, 0), matrix=(8, 6, 1), fov=(16, 18, 5)) -> ismrmrd.ImageHeader:
    made = ismrmrd.ImageHeader()
    made.matrix_size, made.field_of_view, made.position = matrix, tuple(fov), position
    vectors = np.eye(3) if directions is None else directions
    made.read_dir, made.phase_dir, made.slice_dir = (tuple(float(part) for part in vector) for vector in vectors)
    return made


@pytest.mark.parametrize("directions", ORIENTATIONS)
def test_48_orientations(directions):
    """A step along an axis of the matrix is a step of one pixel along the direction that the header names."""
    affine = patient_affine(header(directions, position=(10, -20, 30), matrix=(8, 6, 4), fov=(16, 18, 20)))
    for axis, length in enumerate((2, 3, 5)):
        np.testing.assert_allclose(affine[:3, axis], length * np.array(directions[axis]))
    np.testing.assert_allclose(affine @ (4, 3, 2, 1), (10, -20, 30, 1))


@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.floats(-500, 500)] * 3))
def test_oblique_off_centre_odd_and_even(seed, matrix, position):
    """The position is that of pixel N//2, the centre of the Fourier transform; steps are isometric."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    made = header(q.T, position=position, matrix=matrix, fov=[2.0 * n for n in matrix])
    affine = patient_affine(made)
    middle = (*(n // 2 for n in matrix), 1)
    np.testing.assert_allclose((affine @ middle)[:3], position, atol=1e-3)
    np.testing.assert_allclose(affine[:3, :3].T @ affine[:3, :3], 4 * np.eye(3), atol=1e-5)


def test_a_slice_needs_no_slice_direction():
    """Home-made headers leave it out; it is then that of read × phase."""
    affine = patient_affine(header([(0, 1, 0), (0, 0, 1), (0, 0, 0)]))
    np.testing.assert_allclose(affine[:3, 2], (5, 0, 0))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"fov": (16, 0, 5)}, "field of view (16, 0, 5) mm of (8, 6, 1) pixels, positive numbers expected"),
        ({"position": (0, float("nan"), 0)}, "position (0, nan, 0) mm, finite numbers expected"),
        ({"directions": np.zeros((3, 3))}, "read direction (0, 0, 0), a unit vector expected"),
        ({"directions": [(1, 0, 0), (0.6, 0.8, 0), (0, 0, 1)]},
         "read direction (1, 0, 0) and phase direction (0.6, 0.8, 0), a right angle expected"),
        ({"directions": [(1, 0, 0), (0, 1, 0), (0, 0, 0)], "matrix": (8, 6, 2)},
         "slice direction (0, 0, 0), a unit vector expected"),
    ],
)  # fmt: skip
def test_a_header_without_geometry_is_refused(wrong, sentence):
    """No image is put where nobody knows that it lies."""
    with pytest.raises(ValueError, match="expected") as problem:
        patient_affine(header(**wrong))
    assert str(problem.value) == sentence
