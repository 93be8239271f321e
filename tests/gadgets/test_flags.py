"""Flags of lines, by the numbers of the MRD standard."""

import pytest

from gadgets import flags

BY_NUMBER = [
    (flags.is_noise, {19}),
    (flags.is_calibration, {20, 21}),
    (flags.is_calibration_only, {20}),
    (flags.is_phase_correction, {24}),
    (flags.is_reversed, {22}),
    (flags.is_never_image, {19, 23, 24, 26, 27, 28, 29, 30, 31}),
    (flags.first_in_loop, {1, 7}),
    (flags.last_in_loop, {2, 8}),
]


@pytest.mark.parametrize(("word", "numbers"), BY_NUMBER)
def test_words_answer_to_their_flags_only(word, numbers, make_acquisition):
    """Flag number n is bit n−1, for every n of the standard; a header answers as its line does."""
    lines = {n: make_acquisition(flags=[n]) for n in range(1, 65)}
    assert {n for n, line in lines.items() if word(line)} == numbers
    assert {n for n, line in lines.items() if word(line.getHead())} == numbers


def test_calibration_and_imaging_wins_over_calibration_only(make_acquisition):
    """A line flagged both ways is an image line: leaving it out would leave a gap in the image."""
    line = make_acquisition(flags=[20, 21])
    assert flags.is_calibration(line)
    assert not flags.is_calibration_only(line)
