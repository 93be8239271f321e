"""Which echoes belong to one train, and which navigators to it."""

import ismrmrd
import pytest
import torch

from gadgets.epi.shots import Echo, shots_of

NAVIGATOR, REVERSED, CALIBRATES = (1 << (flag - 1) for flag in (24, 22, 20))


def echo(row=None, *, flags=0, stamp=0, partition=0):
    """An echo of a row, or a navigator."""
    header = ismrmrd.AcquisitionHeader()
    header.flags = flags | (NAVIGATOR if row is None else 0)
    header.idx.kspace_encode_step_1, header.idx.kspace_encode_step_2 = row or 0, partition
    header.acquisition_time_stamp = stamp
    return Echo(header, torch.zeros(1, 2))


def grouped(*rows):
    """Navigators, as N, and rows, each shot as a text."""
    shots = shots_of([echo(None if row == "N" else row) for row in rows])
    return [("N" * len(shot.navigators), [one.steps[0] for one in shot.echoes]) for shot in shots]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("N", "N", "N", 0, 1, 2), [("NNN", [0, 1, 2])]),
        ((2, 1, 0), [("", [2, 1, 0])]),
        (("N", 0, 2, "N", 1, 3), [("N", [0, 2]), ("N", [1, 3])]),
        ((0, 2, 1, 3), [("", [0, 2]), ("", [1, 3])]),
        (("N", 0, 2, 1, 3), [("N", [0, 2]), ("", [1, 3])]),
        ((0, 1, "N", "N", 2, 3), [("NN", [0, 1, 2, 3])]),
        ((0, 2, "N", "N", 1, 3, "N", "N"), [("NN", [0, 2]), ("NN", [1, 3])]),
        (("N", 0, 2, 4, "N", 0, 2, 4), [("N", [0, 2, 4]), ("N", [0, 2, 4])]),
    ],
    ids=["one", "none", "two", "none of two", "lost", "after the first echoes", "at the end", "averages"],
)
def test_trains_and_their_navigators(rows, expected):
    """Navigators open a train; where none came first they are late, and belong to the train under way."""
    assert grouped(*rows) == expected


def test_calibration_is_a_train_of_its_own():
    """Reference shots and images have navigators each, but one may have lost them."""
    shots = shots_of([echo(4, flags=CALIBRATES), echo(5, flags=CALIBRATES), echo(6), echo(7)])
    assert [shot.echoes[0].only_calibrates for shot in shots] == [True, False]


def test_partitions_are_trains_of_their_own():
    """The same rows again, a partition further."""
    assert len(shots_of([echo(0), echo(1), echo(2, partition=1), echo(3, partition=1)])) == 2


def test_a_lost_line_takes_its_place_in_the_train():
    """Drift goes on whether the line was received or not."""
    (shot,) = shots_of([echo(row) for row in (9, 7, 3, 1)])
    assert shot.echo_numbers().tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(("stamp", "numbers"), [(12, [0, 1, 4, 5]), (10, [0, 1, 2, 3])])
def test_navigators_between_echoes_take_places(stamp, numbers):
    """Unless they were only sent later: their time stamps are not later than the first echo's, 10, then."""
    rows = [echo(0, stamp=10), echo(1, stamp=11), echo(stamp=stamp), echo(stamp=stamp), echo(2), echo(3)]
    (shot,) = shots_of(rows)
    assert shot.echo_numbers().tolist() == numbers


def test_without_time_stamps_navigators_come_as_they_were_read():
    """Nothing else tells."""
    (shot,) = shots_of([echo(0), echo(), echo(1)])
    assert shot.echo_numbers().tolist() == [0, 2]
