"""Images that a server owes: one for each set of counters that imaging lines had, whoever else speaks of that slice."""

import ismrmrd
import numpy as np
import pytest

from pipelines.hosts.images_due import ImagesDue
from tests.streaming import bytes_by_hand as by_hand
from tests.streaming.stand_in import answer, outcome, peer

COUNTERS = ("slice", "contrast", "phase", "set", "repetition")


def line(*flags: int, encoding: int = 0, **counters: int) -> ismrmrd.Acquisition:
    made = ismrmrd.Acquisition.from_array(np.zeros((2, 4), np.complex64), encoding_space_ref=encoding)
    for name, value in counters.items():
        setattr(made.idx, name, value)
    for flag in flags:
        made.set_flag(flag)
    return made


def image(quantity: str | None = None, **counters: int) -> ismrmrd.Image:
    made = ismrmrd.Image.from_array(np.zeros((1, 1, 2, 2), np.float32), transpose=False, **counters)
    made.meta = {"DataRole": "Image"} if quantity is None else {"kband_quantity": quantity}
    return made


def missing(lines, images) -> str | None:
    due = ImagesDue()
    for each in lines:
        due.add_line(each)
    for each in images:
        due.add_image(each)
    return due.missing()


@pytest.mark.parametrize("name", COUNTERS)
def test_each_counter_tells_images_apart(name):
    """A slice that has one contrast of two lacks an image."""
    lines = [line(**{name: number}) for number in (0, 1, 1)]
    assert missing(lines, [image(**{name: 0}), image(**{name: 1})]) is None
    which = "slice 1" if name == "slice" else f"slice 0, {name} 1"
    assert missing(lines, [image(**{name: 0})] * 2) == f"1 of 2 images came; the first missing is {which}"


def test_joined_contrasts_are_one_image_for_all_of_them():
    """Two half echoes of a slice were joined: neither contrast is missing; of the next slice both are."""
    lines = [line(slice=number, contrast=contrast) for number in (0, 1) for contrast in (0, 1)]
    joined = image()
    joined.meta = {"kband_joined_contrasts": "0, 1"}
    assert missing(lines[:2], [joined]) is None
    assert missing(lines, [joined]) == "2 of 4 images came; the first missing is slice 1"


def test_a_window_over_repetitions_is_an_image_of_each():
    """Three repetitions, of which two windows were made: none is missing; with one window the last one is."""
    lines = [line(repetition=number) for number in range(3)]
    windows = [image(repetition=number) for number in range(2)]
    for window, repetitions in zip(windows, ("0, 1", "1, 2"), strict=True):
        window.meta = {"kband_window_repetitions": repetitions}
    assert missing(lines, windows) is None
    assert missing(lines, windows[:1]) == "2 of 3 images came; the first missing is slice 0, repetition 2"


def test_a_server_may_number_its_images_and_nothing_else():
    """Three slices, three images that call themselves slice 0: none is missing; of two, one is."""
    lines = [line(slice=number) for number in range(3)]
    numbered = [image(image_index=number) for number in (1, 2, 3)]
    assert missing(lines, numbered) is None
    assert missing(lines, numbered[:2]) == "2 of 3 images came; the first missing is slice 1"


def test_averages_and_encodings_share_an_image():
    """Averages are added up, and images do not say which encoding they came of."""
    assert missing([line(average=0), line(average=1), line(encoding=1)], [image()]) is None


NO_IMAGE = {
    "noise": ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    "navigator": ismrmrd.ACQ_IS_NAVIGATION_DATA,
    "calibration": ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    "phase": ismrmrd.ACQ_IS_PHASECORR_DATA,
}


@pytest.mark.parametrize("kind", NO_IMAGE)
def test_lines_of_no_image(kind):
    """They may carry counters of their own; calibration lines that are image lines as well do have an image."""
    assert missing([line(slice=0), line(NO_IMAGE[kind], slice=1)], [image(slice=0)]) is None
    both = line(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, slice=1)
    assert missing([line(slice=0), both], [image(slice=0)]) == "1 of 2 images came; the first missing is slice 1"


def test_maps_are_no_images():
    """A g-factor map of a slice does not stand for its image; nor does it harm."""
    lines = [line(slice=number) for number in (0, 1)]
    maps = [image("g-factor", slice=number) for number in (0, 1)]
    assert missing(lines, [image(slice=0), *maps]) == "1 of 2 images came; the first missing is slice 1"
    assert missing(lines, [image(slice=0), image(slice=1), *maps]) is None


def test_server_that_numbers_images_in_its_own_way():
    """Slices may come out as repetitions; what counts is how many images differ."""
    lines = [line(slice=number) for number in (0, 1, 2)]
    assert missing(lines, [image(repetition=number) for number in (5, 6, 7)]) is None
    assert missing(lines, [image(repetition=5)]) == "1 of 3 images came; the first missing is slice 0"


@pytest.mark.parametrize(("n_slices", "sentence"), [(1, None), (3, "1 of 3 images came; the first missing is slice 0")])
def test_client_counts_the_images_of_a_server_that_says_nothing(n_slices, sentence):
    """Such a server closes as if all were well."""
    lines = [line(slice=number) for number in range(n_slices)]
    one = by_hand.image(np.zeros((1, 1, 2, 2), "<f4"), 5)  # it says that its contrast is 1
    with peer(answer(one, one, by_hand.CLOSE)) as target:
        n_images, problem, verdict, _ = outcome(target, lines)
    assert (n_images, problem, verdict.n_lines) == (2, sentence, n_slices)
