"""What is made of lines as they come is what is made of them afterwards, or it is not used."""

import pytest
import torch

from kband_core.coils import compress
from kband_core.coming_lines import ComingLines
from kband_core.completion import few_columns
from kband_core.consistency import beyond_law
from kband_core.maps_ahead import few_combinations

SHAPE = (8, 12, 10)  # coil, ky, kx
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}  # of single precision, in products of other sizes


def random(rng, *shape):
    return torch.randn(*shape, dtype=torch.complex64, generator=rng)


@pytest.fixture
def scanned(rng):
    return random(rng, *SHAPE)


def come(coming, scanned, rows):
    coming.kspace[:, rows] = scanned[:, rows]
    coming.take(torch.tensor(rows))


@pytest.mark.parametrize(
    ("make", "by"),
    [
        (compress, lambda rng: random(rng, 5, 8)),
        (beyond_law, lambda rng: random(rng, 8, 2, 5, 3)),
        (few_columns, lambda rng: few_combinations(8, torch.device("cpu"))),
    ],
)
def test_lines_made_as_they_come_are_those_made_of_all(rng, scanned, make, by):
    """Each line counts for itself, whether it came before anybody asked, or later."""
    coming, by = ComingLines(torch.zeros(SHAPE, dtype=torch.complex64)), by(rng)
    come(coming, scanned, [6, 7])
    made = coming.made(make, by)
    come(coming, scanned, [8, 3])
    come(coming, scanned, [11])
    expected = make(coming.kspace, by)
    torch.testing.assert_close(made.kspace, torch.where(coming.came[:, None], expected, 0), **ROUNDING)
    assert made.came.nonzero().flatten().tolist() == [3, 6, 7, 8, 11]


def test_lines_are_made_of_lines_that_were_made(rng, scanned):
    """Whitened, and then compressed."""
    coming, (first, second) = ComingLines(torch.zeros_like(scanned)), (random(rng, 8, 8), random(rng, 3, 8))
    made = coming.made(compress, first).made(compress, second)
    come(coming, scanned, list(range(12)))
    torch.testing.assert_close(made.kspace, compress(scanned, second @ first), rtol=1e-4, atol=1e-4)
    assert coming.made(compress, first.clone()).made(compress, second) is made


def test_a_line_that_changes_is_made_again(rng, scanned):
    """A second average is added to the first."""
    coming, matrix = ComingLines(torch.zeros_like(scanned)), random(rng, 5, 8)
    made = coming.made(compress, matrix)
    come(coming, scanned, [4])
    come(coming, 2 * scanned, [4])
    torch.testing.assert_close(made.kspace[:, 4], 2 * compress(scanned, matrix)[:, 4], **ROUNDING)


def test_another_matrix_makes_other_lines(rng, scanned):
    """Such as that of another calibration."""
    coming = ComingLines(scanned)
    first, second = (random(rng, 5, 8) for _ in range(2))
    coming.take(torch.arange(12))
    assert coming.made(compress, first) is not coming.made(compress, second)
    torch.testing.assert_close(coming.made(compress, second).kspace, compress(scanned, second), **ROUNDING)


def test_lines_that_were_changed_are_others(scanned):
    """Mended in a copy, a coil left out, seen as conjugates or turned: nothing made of them before is of use."""
    coming, buffer = ComingLines(scanned), scanned[None, None, None, :, None]
    assert coming.of(buffer) is coming
    square = ComingLines(scanned[..., :10, :])
    others = buffer.clone(), buffer[:, :, :, 1:], buffer.conj(), buffer[..., 1:, :], buffer.flip(-1)
    assert [coming.of(other) for other in others] == [None] * len(others)
    assert square.of(square.kspace[None, None, None, :, None].mT) is None


def test_lines_of_other_coils_are_left_alone(rng, scanned):
    """Where a gadget has combined calibration lines, and knows nothing of lines that are still to come."""
    coming = ComingLines(scanned)
    assert coming.beside(random(rng, 1, 8, 4, 10)) is coming
    assert coming.beside(random(rng, 1, 5, 4, 10)) is None


def test_lines_that_did_not_come_are_made_of_others(rng, scanned):
    """Calibration lines that fill gaps of an image; those that came stay."""
    coming, matrix = ComingLines(torch.zeros_like(scanned)), random(rng, 5, 8)
    come(coming, scanned, [0, 3, 6, 9])
    filled, lines = random(rng, *SHAPE), torch.zeros(12, dtype=torch.bool)
    lines[5:8] = True
    made = coming.made(compress, matrix).with_others(filled, lines)
    torch.testing.assert_close(made[:, [5, 7]], compress(filled[:, [5, 7]], matrix), **ROUNDING)
    torch.testing.assert_close(made[:, [3, 6]], compress(scanned[:, [3, 6]], matrix), **ROUNDING)
