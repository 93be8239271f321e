"""What is told of lines as they come is what a look at all of them tells afterwards."""

from dataclasses import replace

import pytest
import torch

from gadgets.coils.sound_lines import SoundLines
from gadgets.receiving.acquisition_buffer import AcquisitionBuffer
from gadgets.receiving.place import place_of
from gadgets.receiving.watched_lines import WatchedLines
from kband_core.looked_lines import LookedLines
from tests.gadgets.heads import reconstruct


def received(scan, lines):
    (buffer,) = (item for item in reconstruct(scan, lines, AcquisitionBuffer()) if hasattr(item, "kspace"))
    return buffer


def assert_alike(told, kspace, rows):
    """Sums in another order, in single precision."""
    afterwards = LookedLines.of(kspace, rows)
    assert told.are(kspace, rows)
    for figure, found in zip(told.figures, afterwards.figures, strict=True):
        torch.testing.assert_close(figure, found, rtol=1e-4, atol=1e-4 * float(found.abs().max()))


@pytest.mark.parametrize("acceleration", [1, 2, 3])
def test_figures_told_as_lines_come_are_those_told_afterwards(head_scan, lines_of, head, acceleration):
    """In any number of looks at some lines."""
    buffer = received(head_scan(acceleration=acceleration), lines_of(acceleration, kspace=head))
    rows = torch.nonzero(buffer.sampling.mask[0, 0, 0, 0, :, 0]).flatten()
    assert_alike(buffer.looked, buffer.kspace[0, 0, 0, :, 0], rows)


def test_figures_of_averages_are_those_of_their_mean(head_scan, lines_of, head):
    """Lines that come twice are looked at twice."""
    encoding, lines = head_scan().encodings[0], list(lines_of(1, kspace=head))
    watched = WatchedLines(encoding, *head.shape[::2])
    for line in lines + lines[:30]:
        watched.add(line, place_of(encoding, line))
    kspace = watched.averaged()
    assert_alike(watched.looked(kspace), kspace[:, 0], torch.arange(head.shape[1]))


def test_lines_that_are_moved_are_looked_at_anew(head_scan, lines_of, head):
    """The header had put them elsewhere."""
    encoding = head_scan().encodings[0]
    watched = WatchedLines(encoding, *head.shape[::2])
    for line in lines_of(1, kspace=head):
        watched.add(line, place_of(encoding, line))
    watched.move(5)
    kspace = watched.averaged()
    assert_alike(watched.looked(kspace), kspace[:, 0], torch.arange(head.shape[1]))


def test_figures_are_of_no_other_lines(head_scan, lines_of, head):
    """K-space that was changed lies elsewhere in memory."""
    buffer = received(head_scan(acceleration=2), lines_of(2, kspace=head))
    rows = buffer.looked.rows
    assert not buffer.looked.are(buffer.kspace[0, 0, 0, :, 0].clone(), rows)
    assert not buffer.looked.are(buffer.kspace[0, 0, 0, :, 0], rows[1:])


@pytest.mark.parametrize("spike", [0, 1e3])
def test_a_verdict_needs_no_figures(head_scan, lines_of, head, noise, spike):
    """Gadgets of others make buffers without: the same is found, and said."""
    lines = list(lines_of(2, kspace=head + 0.01 * noise(*head.shape)))
    lines[-3].data[1, 20] += spike
    buffer = received(head_scan(acceleration=2), lines)
    (told,), (found,) = (SoundLines().process([one]) for one in (buffer, replace(buffer, looked=None)))
    assert told.problems == found.problems
    torch.testing.assert_close(told.kspace, found.kspace)
