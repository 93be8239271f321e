"""What is sent to a GPU is known there without waiting for it."""

from dataclasses import replace

import torch

from gadgets.coils.per_slice import PerSlice
from gadgets.coils.sound_lines import SoundLines
from gadgets.departure import Departure, as_it_came
from gadgets.items import Calibration, ReconBuffer
from gadgets.receiving.room import receive
from tests.pretend_gpu.chains import scanned
from tests.pretend_gpu.device import CUDA, WAITS


def received():
    """A calibration and the image behind it, on the CPU."""
    scan, lines = scanned("lines")
    items = [item for item in receive(lines, "Test", scan, 24) if isinstance(item, Calibration | ReconBuffer)]
    calibration, image = items
    return calibration, image


def test_calibration_lines_are_known_by_their_memory(gpu):
    """Those of the image are the very ones that went ahead: nothing is sent again, compared, or waited for."""
    departure, per_slice = Departure(CUDA), PerSlice("Test", lambda acs, *_: [lines.sum() for lines in acs])
    calibration, image = map(departure.send, received())
    ahead = per_slice.prepare(calibration)
    WAITS.clear()
    assert per_slice.of(image)[0] is ahead[0]
    assert not WAITS


def test_other_calibration_lines_of_a_slice_are_sent_with_its_image(gpu):
    """An image that came with others is not given those that went ahead."""
    calibration, image = received()
    departure = Departure(CUDA)
    departure.send(calibration)
    others = replace(image, acs=2 * image.acs)
    assert torch.equal(departure.send(others).acs.cpu(), others.acs)


def test_what_was_sent_is_here_as_long_as_nothing_has_changed_it(gpu):
    """SoundLines looks at lines where they came from; those that another gadget has made it must fetch."""
    image = received()[1]
    there = Departure(CUDA).send(image)
    WAITS.clear()
    assert as_it_came(there.kspace) is image.kspace
    assert not WAITS
    doubled = replace(there, kspace=2 * there.kspace)
    assert torch.equal(as_it_came(doubled.kspace), 2 * image.kspace)
    assert WAITS


def test_sound_lines_pass_as_they_were_sent(gpu):
    """Of them nothing is fetched, nor sent again."""
    departure = Departure(CUDA)
    sent = [departure.send(item) for item in received()]
    WAITS.clear()
    calibration, image = SoundLines().process(iter(sent))
    assert calibration is sent[0]
    assert image is sent[1]
    assert not WAITS
