"""Spokes where late gradients led them, and what the image has to say about it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, TypeAlias

from torch import Tensor

from gadgets.gadget import field
from kband_core.data_residual import central_residual
from kband_core.gradient_delays import Delays, delayed, find_delays
from kband_core.threads import single_thread

DelayProperty: TypeAlias = Annotated[
    Literal["auto", "estimate", "none"],
    field(description="gradient delays, moved out of spokes; auto: estimated where angle_step places them"),
]
SPOKES = "radial", "goldenangle"


class DelayCorrection:
    """Moves spokes by delays that the first image of each (encoding, slice) tells, if they explain its samples better.

    Not `estimates`: spokes stay, and nothing is said.
    """

    def __init__(self, *, estimates: bool) -> None:
        self._estimates = estimates
        self._found: dict[tuple[int, int], Delays | str] = {}

    def corrected(
        self, at: tuple[int, int], kspace: Tensor, coords: Tensor, shape: tuple[int, int]
    ) -> tuple[Tensor, dict[str, str]]:
        """Return coordinates `(spoke, sample, 2)` as they are to be, and notes; k-space is `(coil, spoke, sample)`."""
        if not self._estimates:
            return coords, {}
        if at not in self._found:
            self._found[at] = _estimated(kspace, coords, shape)
        found = self._found[at]
        if isinstance(found, str):
            return coords, {"kband_delays": f"unknown: {found}"}
        residuals = f"the residual from {found.before:.3f} to {found.after:.3f}"
        if not found.accepted:
            return coords, {"kband_delays": f"none: {found.estimate} would take {residuals}"}
        (y, xy), (_, x) = (found.matrix.mul(1000).round() / 1000 + 0.0).tolist()  # without a sign of zero
        said = f"x {x:.3f}, y {y:.3f}, xy {xy:.3f} samples, by {found.estimate}: {residuals}"
        return delayed(coords, found.matrix), {"kband_delays": said}


def _estimated(kspace: Tensor, coords: Tensor, shape: tuple[int, int]) -> Delays | str:
    try:
        with single_thread():
            found = find_delays(kspace, coords, partial(central_residual, kspace, shape=shape))
    except (ValueError, RuntimeError) as error:
        return str(error)
    return "neither opposed spokes nor crossings tell" if found is None else found
