"""What the flags of an MRD line say; flag number n is bit n−1. Lines and their headers are both accepted."""

from __future__ import annotations

from typing import TypeAlias

from gadgets.mrd import ismrmrd

Line: TypeAlias = ismrmrd.Acquisition | ismrmrd.AcquisitionHeader


def is_noise(line: Line) -> bool:
    """Tell whether the line holds noise only, measured without a pulse."""
    return bool(line.flags & _NOISE)


def is_calibration(line: Line) -> bool:
    """Tell whether the line calibrates parallel imaging, be it an image line as well or not."""
    return bool(line.flags & (_CALIBRATION | _CALIBRATION_AND_IMAGING))


def is_calibration_only(line: Line) -> bool:
    """Tell whether the line calibrates parallel imaging and must stay out of the image."""
    return bool(line.flags & _CALIBRATION) and not line.flags & _CALIBRATION_AND_IMAGING


def is_never_image(line: Line) -> bool:
    """Tell whether the line is none of an image's: noise, navigator, phase correction, feedback, dummy, stabilisation.

    Calibration lines are not among them: they are k-space of the object, whitened and buffered like the image's own.
    """
    return bool(line.flags & _NEVER_IMAGE)


def is_held_out(line: Line) -> bool:
    """Tell whether the line judges the image and must stay out of it: navigation data that carry user flag 1.

    It was drawn at random, with the probability in `user_float[0]`. Others take it for a navigator, and leave it out.
    """
    return line.flags & _NEVER_IMAGE == _NAVIGATION and bool(line.flags & _USER_1)


def is_phase_correction(line: Line) -> bool:
    """Tell whether the line measures the phase between echoes, not the object."""
    return bool(line.flags & _PHASE_CORRECTION)


def is_reversed(line: Line) -> bool:
    """Tell whether the line was read from +kx to −kx, as every second echo of an EPI train is."""
    return bool(line.flags & _REVERSED)


def first_in_loop(line: Line) -> bool:
    """Tell whether the scanner marks the line as the first of its line loop or of its slice."""
    return bool(line.flags & _FIRST_IN_LOOP)


def last_in_loop(line: Line) -> bool:
    """Tell whether the scanner marks the line as the last of its line loop or of its slice."""
    return bool(line.flags & _LAST_IN_LOOP)


def last_in_slice(line: Line) -> bool:
    """Tell whether the scanner marks the line as the last of its slice, or slab, whatever loops are within."""
    return bool(line.flags & _LAST_IN_SLICE)


def _bits(*numbers: int) -> int:
    return sum(1 << (number - 1) for number in numbers)


_NOISE = _bits(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
_CALIBRATION = _bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
_CALIBRATION_AND_IMAGING = _bits(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
_NAVIGATION = _bits(ismrmrd.ACQ_IS_NAVIGATION_DATA)
_USER_1 = _bits(ismrmrd.ACQ_USER1)
_PHASE_CORRECTION = _bits(ismrmrd.ACQ_IS_PHASECORR_DATA)
_REVERSED = _bits(ismrmrd.ACQ_IS_REVERSE)
_FIRST_IN_LOOP = _bits(ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1, ismrmrd.ACQ_FIRST_IN_SLICE)
_LAST_IN_LOOP = _bits(ismrmrd.ACQ_LAST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_SLICE)
_LAST_IN_SLICE = _bits(ismrmrd.ACQ_LAST_IN_SLICE)
_NEVER_IMAGE = _bits(
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)
