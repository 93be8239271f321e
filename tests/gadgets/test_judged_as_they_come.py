"""A scan judged by its lines as they come gets the words and the pixels of one judged at its end."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.coils.sound_lines import SoundLines
from gadgets.items import Calibration
from gadgets.receiving import room
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.recon.sense_recon import SenseRecon
from kband_core.coils import compress
from tests.gadgets.heads import reconstruct

ROUNDING = 1e-5  # of the brightest pixel: single precision, products in another order


class AtTheEnd(AcquisitionBuffer):
    """Tells nobody of lines that are still to come."""

    def process(self, acquisitions):
        for item in super().process(acquisitions):
            yield replace(item, coming=None)


def image_of(scan, lines, buffer):
    chain = SoundLines(), CoilWhitening(), CoilCompression(n_coils=5), CoilSensitivities(), SenseRecon()
    (array,) = reconstruct(scan, lines, buffer, *chain)
    return array.data, array.meta[0, 0, 0]


def rows_of(lines, *rows):
    return [line for line in lines if line.idx.kspace_encode_step_1 in rows]


def clean(lines):
    pass


def negate_one(lines):
    for line in rows_of(lines, 44):
        line.data[:] *= -1


def burst(lines):
    for line in rows_of(lines, 12):
        line.data[2, 16:24] += 0.5


def spike(lines):
    for line in rows_of(lines, 12):
        line.data[2, 30] = 1000 * abs(line.data).max()


def change_coil_half_way(lines):
    for line in rows_of(lines, *range(45, 64)):
        line.data[1] *= -1


def lose_coil(lines):
    for line in rows_of(lines, *range(22), *range(42, 64)):
        line.data[3] = 0


def silence_one(lines):
    for line in rows_of(lines, 50):
        line.data[:] = 0


def leave_one_out(lines):
    lines.remove(rows_of(lines, 52)[0])


def amplify_the_centre(lines):
    for line in rows_of(lines, 32):
        line.data[:] *= 10


def calibrate_late(lines):
    lines.sort(key=lambda line: 22 <= line.idx.kspace_encode_step_1 < 42)


MARKED = negate_one, burst, change_coil_half_way
OTHERS = clean, spike, lose_coil, silence_one, leave_one_out, amplify_the_centre, calibrate_late


@pytest.mark.parametrize("fault", [*MARKED, *OTHERS])
@pytest.mark.parametrize("acceleration", [1, 2])
def test_words_and_pixels_are_the_same(head_scan, lines_of, head, noise, acceleration, fault):
    """Whatever is wrong; lines mended or left out later are not judged by what they were."""
    images = []
    for buffer in (AcquisitionBuffer(), AtTheEnd()):
        lines = list(lines_of(acceleration, kspace=head + 0.01 * noise(*head.shape)))
        fault(lines)
        images.append(image_of(head_scan(acceleration=acceleration), lines, buffer))
    (pixels, said), (pixels_at_the_end, said_at_the_end) = images
    assert dict(said) == dict(said_at_the_end)
    assert (said["kband_consistency"] != "good") == (fault in MARKED)
    torch.testing.assert_close(pixels, pixels_at_the_end, rtol=0, atol=ROUNDING * float(pixels.abs().max()))


class FirstCoils(SoundLines):
    """A gadget of somebody who has never heard of lines that are still to come: it keeps four coils."""

    def process(self, items):
        for item in items:
            if isinstance(item, Calibration):
                yield replace(item, acs=item.acs[:, :4])
            else:
                yield replace(item, kspace=item.kspace[:, :, :, :4], acs=item.acs[:, :, :4])


def test_gadgets_that_know_nothing_of_coming_lines_are_right(head_scan, lines_of, head, noise):
    """Where one has changed the coils, all is asked at the end."""
    images = []
    for buffer in (AcquisitionBuffer(), AtTheEnd()):
        lines = lines_of(2, kspace=head + 0.01 * noise(*head.shape))
        chain = buffer, FirstCoils(), CoilWhitening(), CoilSensitivities(), SenseRecon()
        (array,) = reconstruct(head_scan(acceleration=2), lines, *chain)
        images.append((array.data, dict(array.meta[0, 0, 0])))
    assert images[0][1] == images[1][1]
    assert torch.equal(images[0][0], images[1][0])


def test_averages_are_judged_by_their_mean(head_scan, lines_of, head, noise, make_acquisition):
    """What was made of a line that came once is of no use when it has come twice."""
    first, second = (list(lines_of(2, kspace=head + 0.01 * noise(*head.shape, seed=seed))) for seed in (1, 2))
    for line in second:
        line.idx.average = 1
    images = [image_of(head_scan(acceleration=2, average=2), [*first, *second], gadget)
              for gadget in (AcquisitionBuffer(), AtTheEnd())]  # fmt: skip
    assert dict(images[0][1]) == dict(images[1][1])
    assert torch.equal(images[0][0], images[1][0])


def test_many_images_at_a_time_are_asked_at_the_end(head_scan, lines_of, monkeypatch):
    """What was made of lines of all slices would fill the memory."""
    for most, are_told in ((16, True), (0, False)):
        monkeypatch.setattr(room, "MOST_COMING", most)
        calibration, _ = reconstruct(head_scan(acceleration=2), lines_of(2), AcquisitionBuffer())
        assert (calibration.coming is not None) == are_told


def test_lines_are_whitened_and_compressed_before_the_last_one_comes(head_scan, lines_of, head, noise):
    """Behind it, only those are left that came since the last look."""
    lines, made = list(lines_of(2, kspace=head + 0.01 * noise(*head.shape))), []

    def scanned():
        for line in lines:
            if line is lines[-1]:
                (coming,) = seen
                made.append(coming.came.clone())
            yield line

    seen, stream = [], scanned()
    for gadget in (AcquisitionBuffer(), SoundLines(), CoilWhitening(), CoilCompression(n_coils=5)):
        gadget.open(head_scan(acceleration=2))
        stream = gadget.process(stream)
    for item in stream:
        if isinstance(item, Calibration):
            seen.append(item.coming)
    (before,), n_lines = made, int(seen[0].came.sum())
    assert n_lines - 8 <= int(before.sum()) < n_lines == 32
    assert item.coming is seen[0]
    assert item.kspace.data_ptr() == seen[0].kspace.data_ptr()
    assert np.array_equal(item.sampling.mask[0, 0, 0, 0, :, 0], seen[0].came)
    whole = compress(torch.from_numpy(head).to(torch.complex64), torch.linalg.pinv(item.unmixing[0]))
    error = (item.kspace[0, 0, 0, :, 0] - whole * seen[0].came[:, None]).abs().max()
    assert error < 0.1 * item.kspace.abs().max()
