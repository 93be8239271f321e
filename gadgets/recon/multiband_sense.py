"""Images of slices that were excited at once: CG-SENSE, and what is left where that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gadgets.items import ReconBuffer
from gadgets.recon.combined import noise_of, sum_of_squares, unmixing_of
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from gadgets.recon.sense import Sense
from kband_core.coils import merge_sets
from kband_core.fourier import to_image
from kband_core.maps_ahead import shading
from kband_core.multiband import MultibandOperator, missed_share, unfold, with_air
from kband_core.sampling import Grid

MOST_MISSED = 0.05  # of the measured energy: a real head misses 0.006; with other slices, or shifts, 0.12 and more


@dataclass(frozen=True)
class MultibandSense(Method):
    """SENSE with the maps of each slice, and its shift: y = M Σ_s P_s F S_s x_s.

    What the maps of these slices do not explain of the measurement beyond noise is told: it is much where slices were
    paired wrongly, or shifted the other way.
    """

    regularisation: float = 0.003  # of slices that add up, more costs more: 0.01 up to 3 % of the error
    n_iterations: int = Sense.n_iterations
    label: ClassVar[str] = "multiband SENSE"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        if buffer.bands is None:
            raise ValueError("only one slice was excited; MultibandBuffer must stand before")
        csm, kspace = maps_of(buffer), buffer.planes()[0][0]
        sampling = Grid(buffer.plane_sampling.mask[0])
        everywhere = csm if buffer.all_maps is None else buffer.all_maps[0]
        operator, all_over = (MultibandOperator(sampling, maps, buffer.bands.shifts) for maps in (csm, everywhere))
        sets = unfold(operator, kspace, regularisation=self.regularisation, n_iterations=self.n_iterations)
        missed = missed_share(operator, sets, kspace, noise_of(buffer))
        sets = with_air(sets, operator, all_over, kspace)
        notes = {"kband_unexplained": f"{missed:.4f}"}
        if missed > MOST_MISSED:
            said = f"{missed:.0%} of the measured energy fits to no slice: other slices, or another shift?"
            notes |= {"kband_consistency": said, "ImageComments": f"INCONSISTENT: {said}"}
        return Reconstruction(merge_sets(sets) * shading(everywhere, unmixing_of(buffer)), notes=notes)


@dataclass(frozen=True)
class Folded(Method):
    """The root sum of squares of what was received, the same for each slice: all of them on top of one another."""

    label: ClassVar[str] = "folded slices"

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        image = sum_of_squares(to_image(buffer.planes()[0]), buffer)
        return Reconstruction(image.expand(1 if buffer.bands is None else len(buffer.bands.slices), -1, -1))
