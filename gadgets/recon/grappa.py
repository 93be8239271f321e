"""GRAPPA, its kernel calibrated while the scan still runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.gadget import field
from gadgets.images.quantitative import GFACTOR
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.combined import combined
from gadgets.recon.gfactor import GFactor
from gadgets.recon.reconstruction import Method, Reconstruction
from kband_core.grappa import GrappaKernel, apply_grappa, calibrate_grappa

KernelLines = Annotated[int, field(ge=2, le=8, description="acquired lines the kernel spans along ky")]
KernelSamples = Annotated[int, field(ge=1, le=15, description="samples the kernel spans along kx")]
Regularisation = Annotated[float, field(ge=0, le=1, description="Tikhonov weight, relative to mean energy")]


@dataclass
class Grappa(Method):
    """Missing lines filled by a kernel, one for each slice, coils combined by the maps of the buffer, if any."""

    kernel_lines: KernelLines = 2
    kernel_samples: KernelSamples = 5
    regularisation: Regularisation = 1e-4
    label: ClassVar[str] = "GRAPPA"

    def __post_init__(self) -> None:
        self._kernels = PerSlice(self.label, self.fit)

    def prepare(self, calibration: Calibration) -> None:
        self._kernels.prepare(calibration)

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        kspace, sampling = buffer.planes()
        kernel = self.kernel_of(buffer)
        csm = None if buffer.csm is None else buffer.csm[0]
        maps = {GFACTOR.name: GFactor(kernel, kspace, sampling, csm)}
        return combined(buffer, apply_grappa(kernel, kspace, sampling), maps)

    def kernel_of(self, buffer: ReconBuffer) -> GrappaKernel:
        """Return the kernel of the buffer's slice. Raises what fitting it raised."""
        return self._kernels.of(buffer)[0]

    def fit(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[GrappaKernel]:
        """Fit the weights; fewer source lines where the calibration lines do not span the kernel."""
        acceleration = encoding.acceleration[0]
        n_lines = max(min(self.kernel_lines, (acs.shape[-2] - 1) // acceleration + 1), 2)
        kernel = (n_lines, self.kernel_samples)
        windows = "equal" if encoding.calibrates_apart else "balanced"
        fitted = calibrate_grappa(
            acs, acceleration, kernel=kernel, regularisation=self.regularisation, windows=windows
        )
        return [GrappaKernel(weights) for weights in fitted.weights]
