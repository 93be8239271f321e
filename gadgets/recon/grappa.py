"""GRAPPA, its kernel calibrated while the scan still runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.gadget import field
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.combined import combined
from gadgets.recon.filling import Filling, Fitted, LatticeFilling, LineFilling
from gadgets.recon.reconstruction import Method, Reconstruction
from kband_core.grappa import GrappaKernel, calibrate_grappa
from kband_core.lattice import Lattice
from kband_core.lattice_grappa import LatticeKernel, calibrate_lattice_grappa, check_block, lattice_of

KernelLines = Annotated[int, field(ge=2, le=8, description="acquired lines the kernel spans along ky")]
KernelSamples = Annotated[int, field(ge=1, le=15, description="samples the kernel spans along kx")]
Regularisation = Annotated[float, field(ge=0, le=1, description="Tikhonov weight, relative to mean energy")]

LATTICE = 10  # times the regularisation: more sources, in fewer windows where there are few samples along kx


@dataclass
class Grappa(Method):
    """Missing lines filled by a kernel, one for each slice, coils combined by the maps of the buffer, if any."""

    kernel_lines: KernelLines = 2
    kernel_samples: KernelSamples = 5
    regularisation: Regularisation = 1e-4
    label: ClassVar[str] = "GRAPPA"

    def __post_init__(self) -> None:
        self._kernels = PerSlice(self.label, self._fitted)
        self._of_lattices: dict[int, PerSlice[LatticeKernel]] = {}  # by shift

    def prepare(self, calibration: Calibration) -> None:
        if not calibration.turned:  # lines of the image tell the lattice
            self._kernels.prepare(calibration)

    def misfits_ahead(self, calibration: Calibration) -> list[float]:
        """Prepare, and return what `Filling.misses` will tell if coils are white: kept, so that no image asks it."""
        return [] if calibration.turned else [fitted.misfit for fitted in self._kernels.prepare(calibration)]

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        filling = self.filling(buffer)
        made = combined(buffer, filling.fill(), filling.maps())
        return replace(made, notes={**made.notes, **filling.told()})

    def filling(self, buffer: ReconBuffer) -> Filling:
        """Return what fills a single image. Raises what fitting the kernel raised; of planes (kz, ky) `ValueError` if
        lines lie on no lattice, or too few calibrate."""
        if not buffer.turned:
            return LineFilling(self._kernels.of(buffer)[0], buffer)
        lattice = lattice_of(buffer.plane_sampling, buffer.encoding.acceleration)
        fit = partial(self.fit_lattice, lattice)
        kernels = self._of_lattices.setdefault(lattice.shift, PerSlice(self.label, fit))
        if buffer.acs is not None:
            check_block(buffer.acs, lattice.acceleration)
        return LatticeFilling(lambda: kernels.of(buffer)[0], buffer)

    def fit_lattice(
        self, lattice: Lattice, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]
    ) -> list[LatticeKernel]:
        """Fit the weights of a lattice to ACS `(slice, x, coil, kz, ky)`, one kernel for each slice."""
        windows, weight = "equal" if encoding.calibrates_apart else "balanced", LATTICE * self.regularisation
        return [
            calibrate_lattice_grappa(
                lines, lattice, n_samples=self.kernel_samples, regularisation=weight, windows=windows
            )
            for lines in acs
        ]

    def _fitted(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[Fitted]:
        return [Fitted(kernel, lines[0]) for kernel, lines in zip(self.fit(acs, encoding, matrix), acs, strict=True)]

    def fit(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[GrappaKernel]:
        """Fit the weights; fewer source lines where the calibration lines do not span the kernel."""
        acceleration = encoding.acceleration[0]
        n_lines = max(min(self.kernel_lines, (acs.shape[-2] - 1) // acceleration + 1), 2)
        kernel = (n_lines, self.kernel_samples)
        windows = "equal" if encoding.calibrates_apart else "balanced"
        fitted = calibrate_grappa(acs, acceleration, kernel=kernel, regularisation=self.regularisation, windows=windows)
        return [GrappaKernel(weights) for weights in fitted.weights]
