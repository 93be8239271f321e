"""Held-out lines judge an image and never touch it."""

import random

import pytest
import torch

from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.errors import ScanError
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.buffer_intake import BufferIntake
from gadgets.recon import reconstructor
from gadgets.recon.sense_recon import SenseRecon
from gadgets.stock import AcquisitionAccumulateTrigger, BucketToBuffer
from kband_core.fourier import to_kspace
from tests.gadgets.heads import N, reconstruct

NAVIGATOR, USER_1 = 23, 57
N_HELD_OUT = 16
CHAIN = AcquisitionBuffer, CoilSensitivities, SenseRecon


@pytest.fixture
def held_out(head, make_acquisition):
    """Maker of held-out lines of the head at `rows`, drawn with `probability`."""

    def make(rows, probability, kspace=head):
        for row in rows:
            line = make_acquisition(kspace[:, row], flags=[NAVIGATOR, USER_1], kspace_encode_step_1=row)
            line.user_float[0] = probability
            yield line

    return make


def images_of(scan, *lines, chain=CHAIN):
    stream = [line for some in lines for line in some]
    return reconstruct(scan, stream, *(gadget() for gadget in chain))[0]


def drawn(seed):
    return random.Random(seed).sample(range(N), N_HELD_OUT)


def test_the_image_is_the_same_without_them(head_scan, lines_of, held_out):
    """Bit for bit; and only the image that they judge carries a figure."""
    scan = head_scan(acceleration=4)
    without = images_of(scan, lines_of(4))
    judged = images_of(scan, held_out(drawn(0), N_HELD_OUT / N), lines_of(4))
    assert torch.equal(without.data, judged.data)
    assert judged.meta[0, 0, 0]["kband_held_out_lines"] == "16"
    assert "kband_nmse_estimate" not in without.meta[0, 0, 0]


def test_every_repetition_is_judged_by_its_own(head_scan, lines_of, held_out):
    """Those of all three come ahead of all lines, and wait for them."""
    judges = [*held_out(drawn(0), N_HELD_OUT / N), *held_out(drawn(1), N_HELD_OUT / N)]
    judges += held_out(drawn(2), N_HELD_OUT / N)
    for number, line in enumerate(judges):
        line.idx.repetition = number // N_HELD_OUT
    lines = [line for repetition in range(3) for line in lines_of(4, repetition=repetition)]
    scan = head_scan(acceleration=4, repetition=3)
    images = reconstruct(scan, [*judges, *lines], *(gadget() for gadget in CHAIN))
    assert [image.meta[0, 0, 0]["kband_held_out_lines"] for image in images] == ["16"] * 3


def test_an_image_without_any_is_not_judged_by_those_of_another(head_scan, lines_of, held_out):
    """Two slices in one buffer, lines held out of the second alone: the first says nothing, not 'nan'."""
    judges = [*held_out(drawn(0), N_HELD_OUT / N)]
    for line in judges:
        line.idx.slice = 1
    stream = [*judges, *lines_of(4), *lines_of(4, slice=1)]
    chain = AcquisitionAccumulateTrigger(), BucketToBuffer(), BufferIntake(), CoilSensitivities(), SenseRecon()
    images = reconstruct(head_scan(acceleration=4, slice=2), stream, *chain)
    assert ["kband_nmse_estimate" in image.meta[0, 0, 0] for image in images] == [False, True]


@pytest.mark.parametrize("chain", [CHAIN, (CHAIN[0], lambda: CoilCompression(n_coils=4), *CHAIN[1:])])
def test_the_estimate_is_right_on_average(head, head_scan, lines_of, held_out, chain):
    """Over 32 draws of 16 lines of 64 it comes within 10 % of the error in all lines, of which all 64 tell exactly."""
    scan = head_scan(acceleration=4)

    def estimate(rows, probability):
        judged = images_of(scan, held_out(rows, probability), lines_of(4), chain=chain)
        return float(judged.meta[0, 0, 0]["kband_nmse_estimate"])

    true = estimate(range(N), 1.0)
    estimates = [estimate(drawn(n), N_HELD_OUT / N) for n in range(32)]
    assert sum(estimates) / len(estimates) == pytest.approx(true, rel=0.1)


def test_all_lines_tell_the_error_itself(head, head_scan, lines_of, held_out, monkeypatch):
    """Held out with certainty, all of them: what every coil measured against F of what it sees of the image."""
    seen, judge = [], reconstructor.judge
    monkeypatch.setattr(reconstructor, "judge", lambda image, buffer: seen.append(image) or judge(image, buffer))
    judged = images_of(head_scan(acceleration=4), held_out(range(N), 1.0), lines_of(4))
    predicted = to_kspace(seen[0][0])
    expected = (predicted - torch.from_numpy(head)).norm() ** 2 / predicted.norm() ** 2
    assert float(judged.meta[0, 0, 0]["kband_nmse_estimate"]) == pytest.approx(float(expected), abs=1e-5)
    assert torch.allclose(seen[0].norm(dim=1), judged.data[0, 0, 0].abs()[0], rtol=1e-3, atol=1e-3)
    assert 0.001 < expected < 0.2


def test_the_noise_of_lines_that_judge_does_not_count(head, head_scan, lines_of, held_out, noise):
    """Where the coils are white the noise of all lines is known: they tell the error of the image, and how surely."""
    noisy = [head + 0.02 * noise(*head.shape, seed=seed) for seed in (1, 2)]
    chain = AcquisitionBuffer, CoilWhitening, CoilSensitivities, SenseRecon
    judges, lines = held_out(range(N), 1.0, noisy[0]), lines_of(2, kspace=noisy[1])
    meta = images_of(head_scan(acceleration=2), judges, lines, chain=chain).meta[0, 0, 0]
    by_noise = abs(noisy[0] - head) ** 2
    assert float(meta["kband_nmse_estimate"]) < 0.7 * by_noise.sum() / (abs(head) ** 2).sum()
    assert 0 < float(meta["kband_nmse_floor"]) < 0.1 * float(meta["kband_nmse_estimate"])


@pytest.mark.parametrize("probability", [0.0, -1.0, 1.5])
def test_a_line_without_a_probability_judges_nothing(head_scan, lines_of, held_out, probability):
    """It would divide by zero, or weigh nothing; the scan ends with its image and with the reason."""
    scan = head_scan(acceleration=4)
    images, gadget = [], AcquisitionBuffer()
    gadget.open(scan)
    with pytest.raises(
        ScanError, match=rf"held out with probability {probability:g} \(user_float\[0\]\), above 0 to 1"
    ):
        images.extend(gadget.process([*held_out([3], probability), *lines_of(4)]))
    assert images[-1].held_out is None


@pytest.mark.parametrize("flags", [[NAVIGATOR], [USER_1, NAVIGATOR, 19]])
def test_navigators_and_noise_are_not_held_out_lines(head_scan, head, lines_of, make_acquisition, flags):
    """Without user flag 1 a navigator stays what it was; what is noise as well is no line of the object."""
    other = make_acquisition(head[:, 5], flags=flags, kspace_encode_step_1=5)
    scan = head_scan(acceleration=4)
    assert torch.equal(images_of(scan, lines_of(4)).data, images_of(scan, [other], lines_of(4)).data)
    assert "kband_nmse_estimate" not in images_of(scan, [other], lines_of(4)).meta[0, 0, 0]


def test_an_image_without_maps_is_not_judged(head_scan, lines_of, held_out):
    """A zero-filled root sum of squares has lost the phase that the lines would be compared with."""

    def is_over(seconds, compute):
        raise ScanError(f"not finished within {seconds:g} s")

    too_late = SenseRecon()
    too_late.limit = is_over
    chain = (*CHAIN[:2], lambda: too_late)
    fallback = images_of(head_scan(acceleration=4), held_out([3, 40], 0.1), lines_of(4), chain=chain)
    meta = fallback.meta[0, 0, 0]
    assert meta["kband_method"] == "zero-filled"
    assert "kband_nmse_estimate" not in meta


def test_an_image_that_cannot_be_judged_is_an_image(head_scan, lines_of, held_out, monkeypatch):
    """Its figure is lost, and nothing else."""

    def fails(coil_image, buffer):
        raise MemoryError("no memory left")

    scan = head_scan(acceleration=4)
    judged = images_of(scan, held_out([3, 40], 0.1), lines_of(4))
    monkeypatch.setattr(reconstructor, "judge", fails)
    unjudged = images_of(scan, held_out([3, 40], 0.1), lines_of(4))
    assert torch.equal(judged.data, unjudged.data)
    assert "kband_nmse_estimate" in judged.meta[0, 0, 0]
    assert "kband_nmse_estimate" not in unjudged.meta[0, 0, 0]
