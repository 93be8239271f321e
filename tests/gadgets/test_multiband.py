"""Slices excited at once: an image of each, at its own position, and what it says."""

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
import torch

from gadgets.items import Aside, Calibration
from gadgets.receiving.multiband_buffer import MultibandBuffer
from gadgets.scan import Scan
from kband_core.fourier import resize, to_image, to_kspace
from pipelines.simulation.simulated_multiband import Excitation
from tests.gadgets.multiband_scans import PROTOCOL, SINGLE, edited, error_of, images_of, pixels, simulated


@pytest.fixture
def lines():
    return list(simulated()[1])


def test_every_slice_leaves_at_its_own_position(lines):
    """Numbers and positions are those of the slices' single-band lines, 5 mm apart; each image has a number."""
    images, error = images_of(lines)
    assert error is None
    single = {line.idx.slice: tuple(line.position) for line in lines[:SINGLE]}
    assert {image.slice: tuple(image.position) for image in images} == single
    assert sorted(image.image_index for image in images) == [1, 2, 3, 4]


def test_slices_are_told_apart(lines):
    """SNR 100, half the field of view: each is its own image, to 3.5 %, and nearer to it than to any other slice."""
    images, _ = images_of(lines)
    for number, image in pixels(images).items():
        errors = [error_of(image, reference.data[0, 0]) for reference in simulated()[2]]
        assert errors[number] == min(errors) < 0.035


def test_the_meta_says_what_was_done(lines):
    """Which slices, which shift, how many lines in truth, and what nobody has verified."""
    images, _ = images_of(lines)
    meta = images[0].meta
    assert meta["kband_method"] == "multiband SENSE"
    assert meta["kband_multiband"].startswith("slices 0 and 2 at once, each shifted by 0.5 of the field of view")
    assert "not verified" in meta["kband_multiband"]
    assert (meta["kband_lines"], meta["kband_acceleration"]) == ("48 of 48", "2.00")


def test_calibration_goes_ahead_of_the_image(lines):
    """Maps are computed while lines still come: at the first line of a group."""
    buffer = MultibandBuffer()
    buffer.open(Scan.from_xml(simulated()[0]))
    taken = iter(lines)
    first = next(item for item in buffer.process(taken) if isinstance(item, Calibration))
    assert first.acs.shape == (2, 8, 24, 48)
    assert sum(1 for _ in taken) == 2 * 48 - 1


def test_properties_stand_in_for_a_header_that_says_nothing(lines):
    """A converter that leaves the element out: multiband and fov_shift give the same pixels."""
    silent = edited(lambda header: setattr(header.encoding[0], "parallelImaging", None))
    images, error = images_of(lines, silent, multiband=2, fov_shift=0.5)
    assert error is None
    expected = pixels(images_of(lines)[0])
    assert all(np.array_equal(image, expected[number]) for number, image in pixels(images).items())


def test_blips_in_single_bands_are_taken_off():
    """Where single-band lines are shifted as well, a property says so; the images are the same, to 1 %."""
    header, lines, _ = simulated(excitation=Excitation(2, 2, reference_has_blips=True))
    images, _ = images_of(lines, header, reference_has_blips=True)
    expected = pixels(images_of(list(simulated()[1]))[0])
    assert all(error_of(image, expected[number]) < 0.01 for number, image in pixels(images).items())


@pytest.mark.parametrize("shift", [-0.25, 0.25])
def test_another_shift_is_inconsistent(lines, shift):
    """Nobody may take for an image what no slice explains."""
    images, _ = images_of(lines, fov_shift=shift)
    assert all("INCONSISTENT" in image.meta["ImageComments"] for image in images)
    assert all("fits to no slice" in image.meta["kband_consistency"] for image in images)


def test_lines_left_out_besides_are_told_apart():
    """R=2 within the slices, one quarter of the field of view from slice to slice, 16 coils: to 10 %."""
    protocol = replace(PROTOCOL, acceleration=2, n_coils=16)
    header, lines, reference = simulated(protocol, Excitation(2, 4))
    images, error = images_of(lines, header)
    assert error is None
    assert images[0].meta["kband_acceleration"] == "4.00"
    assert all(error_of(image, reference[n].data[0, 0]) < 0.1 for n, image in pixels(images).items())


def test_single_bands_may_come_last():
    """Images of two repetitions wait for them; pixels are the same."""
    header, lines, _ = simulated(replace(PROTOCOL, n_repetitions=2))
    images, error = images_of([*lines[SINGLE:], *lines[:SINGLE]], header)
    assert error is None
    expected = {(image.slice, image.repetition): image.data for image in images_of(lines, header)[0]}
    assert len(images) == len(expected) == 8
    assert all(np.array_equal(image.data, expected[image.slice, image.repetition]) for image in images)


def test_single_bands_of_the_same_encoding_calibrate(lines):
    """Where there is one encoding only, the flag tells them, and its limits the slices."""

    def one_encoding(header):
        del header.encoding[1]
        header.encoding[0].encodingLimits.slice.maximum = 3
        header.encoding[0].parallelImaging.multiband.calibration_encoding = 0

    moved = [ismrmrd.Acquisition(line.getHead(), line.data) for line in lines]
    for line in moved:
        line.encoding_space_ref = 0
    images, error = images_of(moved, edited(one_encoding))
    assert error is None
    expected = pixels(images_of(lines)[0])
    assert all(np.array_equal(image, expected[number]) for number, image in pixels(images).items())


def test_further_contrasts_of_single_bands_are_not_mixed_in(lines):
    """Another echo has another phase; the first one calibrates."""
    second = [ismrmrd.Acquisition(line.getHead(), -line.data) for line in lines[:SINGLE]]
    for line in second:
        line.idx.contrast = 1

    def two_contrasts(header):
        header.encoding[1].encodingLimits.contrast.maximum = 1

    images, error = images_of([*lines[:SINGLE], *second, *lines[SINGLE:], *second[:1]], edited(two_contrasts))
    assert error is None
    expected = pixels(images_of(lines)[0])
    assert all(np.array_equal(image, expected[number]) for number, image in pixels(images).items())


def test_waiting_is_told_at_once(lines):
    """While the patient still lies there, somebody can ask why."""
    buffer = MultibandBuffer()
    buffer.open(Scan.from_xml(simulated()[0]))
    said = [item for item in buffer.process(iter([*lines[SINGLE:], *lines[:SINGLE]])) if isinstance(item, Aside)]
    assert [one.text for one in said] == ["MultibandBuffer: images wait for single-band lines of their slices"]


def test_unflagged_lines_of_the_calibrating_encoding_calibrate(lines):
    """Converters forget the flag; the header names the encoding."""
    expected = pixels(images_of(lines)[0])
    unflagged = [ismrmrd.Acquisition(line.getHead(), line.data.copy()) for line in lines]
    for line in unflagged[:SINGLE]:
        line.clear_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    images, error = images_of(unflagged)
    assert error is None
    assert all(np.array_equal(image, expected[number]) for number, image in pixels(images).items())


def test_oversampling_that_the_header_does_not_tell_is_removed(lines):
    """Twice the samples of the matrix, of single bands and folded lines alike: the same images, to rounding."""
    twice = []
    for line in lines:
        header, wider = line.getHead(), resize(to_image(torch.tensor(line.data), (-1,)), [96], (-1,))
        header.number_of_samples, header.center_sample = 96, 48
        twice.append(ismrmrd.Acquisition(header, to_kspace(wider, (-1,)).numpy()))
    images, error = images_of(twice)
    assert error is None
    expected = pixels(images_of(lines)[0])
    assert all(error_of(image, expected[number]) < 1e-3 for number, image in pixels(images).items())
