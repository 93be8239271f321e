"""Lines that were left out, filled by the kernel of a slice: a value that makes k-space without gaps when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor

from gadgets.images.quantitative import GFACTOR
from gadgets.items import ReconBuffer
from gadgets.recon.combined import noise_of
from gadgets.recon.few_lines import told_of_few_lines
from gadgets.recon.gfactor import GFactor
from gadgets.recon.reconstruction import Map
from kband_core.grappa import GrappaKernel, fill_lines, kernel_misfit
from kband_core.lattice_grappa import LatticeKernel, fill_lattice


class Filling(Protocol):
    """A kernel and the single image that it fills."""

    def fill(self) -> Tensor:
        """K-space of its planes `(z, coil, ky, kx)` without gaps."""

    def misses(self) -> float:
        """Which share of the energy of the lines that it fills the kernel misses, told from calibration lines."""

    def maps(self) -> Mapping[str, Map]:
        """Maps of what comes of it."""

    def told(self) -> Mapping[str, str]:
        """What the meta says of it."""


@dataclass(frozen=True)
class Fitted:
    """A kernel of all planes of a slice, and the calibration lines `(coil, ky, kx)` of the first one."""

    kernel: GrappaKernel
    acs: Tensor

    @cached_property
    def misfit(self) -> float:
        """What `LineFilling.misses` of coils whose noise has SD 1: known before an image is there."""
        return self.misfit_at(1.0)

    def misfit_at(self, noise: Tensor | float) -> float:
        """The same where noise has the SD `noise`."""
        if self.kernel.acceleration == 1:
            return 0.0
        return kernel_misfit(GrappaKernel(self.kernel.weights[0]), self.acs / noise)


@dataclass(frozen=True)
class LineFilling:
    """Lines of one direction, every R-th of which came."""

    fitted: Fitted
    buffer: ReconBuffer

    @property
    def kernel(self) -> GrappaKernel:
        return self.fitted.kernel

    def fill(self) -> Tensor:
        return fill_lines(self.kernel, *self.buffer.planes())

    def misses(self) -> float:
        is_white = self.buffer.unmixing is not None
        return self.fitted.misfit if is_white else self.fitted.misfit_at(noise_of(self.buffer))

    def maps(self) -> Mapping[str, Map]:
        csm = None if self.buffer.csm is None else self.buffer.csm[0]
        return {GFACTOR.name: GFactor(self.kernel, *self.buffer.planes(), csm)}

    def told(self) -> Mapping[str, str]:
        return told_of_few_lines(self.buffer, tuple(self.kernel.weights.shape[-2:]), lambda: self.kernel)


@dataclass(frozen=True)
class LatticeFilling:
    """Lines of two directions on a lattice; `kernel` is fitted when it is asked for."""

    kernel: Callable[[], LatticeKernel]
    buffer: ReconBuffer

    def fill(self) -> Tensor:
        return fill_lattice(self.kernel(), *self.buffer.planes())

    def misses(self) -> float:
        return self.kernel().misfit

    def maps(self) -> Mapping[str, Map]:
        return {GFACTOR.name: NoMap("lines were left out along ky and kz, of one direction only there is a map")}

    def told(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class NoMap(Map):
    """A map that cannot be made, and why."""

    reason: str

    def compute(self) -> Tensor:
        raise ValueError(self.reason)
