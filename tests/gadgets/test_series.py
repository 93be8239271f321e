"""Series numbers: no two series of a scan have the same, and all fit the header."""

import itertools

import ismrmrd
import pytest

from gadgets.errors import ScanError
from gadgets.images.series import MOST_ENCODINGS, PARTS, QUANTITIES, UNCERTAINTY, image_series

OF_QUANTITY = {None: 0, **QUANTITIES}


def all_series() -> list[int]:
    """The series of every encoding, fallback, quantity and part, summed up as gadgets do one after another."""
    return [
        image_series(encoding, is_fallback=fallback) + quantity + part
        for encoding, fallback, quantity, part in itertools.product(
            range(MOST_ENCODINGS), (False, True), OF_QUANTITY.values(), PARTS.values()
        )
    ]


def test_no_two_series_have_the_same_number():
    """Else a viewer shows the g-factor of one encoding among the images of another."""
    numbers = all_series()
    assert len(set(numbers)) == len(numbers)


def test_all_numbers_fit_the_header():
    """The field has 16 bits, and what wraps would replace another series; 0 is what nobody numbered."""
    assert min(all_series()) >= 1
    assert max(all_series()) <= 65535


def test_new_quantities_keep_to_their_tens():
    """What makes numbers unique is that each term has digits of its own."""
    assert all(value % 10 == 0 and 10 <= value % UNCERTAINTY <= 90 for value in QUANTITIES.values())


@pytest.mark.parametrize(
    ("encoding", "fallback", "quantity", "part", "number"),
    [
        (0, False, None, ismrmrd.IMTYPE_MAGNITUDE, 1),
        (3, False, None, ismrmrd.IMTYPE_MAGNITUDE, 4),
        (0, True, None, ismrmrd.IMTYPE_MAGNITUDE, 101),
        (0, False, "g-factor", ismrmrd.IMTYPE_MAGNITUDE, 11),
        (1, True, "SNR", ismrmrd.IMTYPE_MAGNITUDE, 122),
        (0, False, None, ismrmrd.IMTYPE_PHASE, 3001),
        (0, False, "PDFF", ismrmrd.IMTYPE_MAGNITUDE, 51),
        (0, True, "SD of PDFF", ismrmrd.IMTYPE_MAGNITUDE, 32151),
    ],
)
def test_sites_find_their_series_where_they_were(encoding, fallback, quantity, part, number):
    """Numbers that hanging protocols at the console may know."""
    assert image_series(encoding, is_fallback=fallback) + OF_QUANTITY[quantity] + PARTS[part] == number


def test_more_encodings_than_the_header_can_number_are_refused():
    """One sentence, in place of a number that is another's."""
    with pytest.raises(ScanError, match=r"^encoding 400 has no series number; those of 0 to 399 fit a header$"):
        image_series(400, is_fallback=False)
