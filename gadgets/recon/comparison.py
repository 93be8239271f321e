"""A network's image, held against GRAPPA's wherever there is one."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.grappa import Grappa
from gadgets.recon.network import Network
from gadgets.recon.reconstruction import Method, Reconstruction
from kband_core.grappa import GrappaKernel
from kband_core.noise import noise_level
from kband_core.shrinkage import move_towards_grappa

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparedWithGrappa(Method):
    """The image of `network`, moved towards that of `grappa` where it misses acquired lines by more than noise.

    The notes tell by what share of their difference. Where GRAPPA cannot fill the lines left out, the image stays.
    """

    network: Network
    grappa: Grappa

    @property
    def label(self) -> str:
        return self.network.label

    def prepare(self, calibration: Calibration) -> None:
        self.grappa.prepare(calibration)
        self.network.prepare(calibration)

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        self.network.require_known(buffer)
        kspace, sampling = buffer.planes()
        noise = noise_level(kspace, sampling.mask)
        made = self.network.given_noise(buffer, noise)
        if (kernel := self._kernel(buffer)) is None:
            return made
        planes = zip(made.image, kspace, buffer.csm[0], kernel.weights, noise, strict=True)
        moved = [move_towards_grappa(x, k, sampling, s, GrappaKernel(w), sd) for x, k, s, w, sd in planes]
        share = sum(share for _, share in moved) / len(moved)
        notes = {**made.notes, "kband_grappa_share": f"{share:.2f}"}
        if share:
            notes["ImageComments"] = f"moved towards GRAPPA by {share:.2f} of the difference"
        return Reconstruction(torch.stack([plane for plane, _ in moved]), notes=notes)

    def _kernel(self, buffer: ReconBuffer) -> GrappaKernel | None:
        """Return the kernel that fills what the image lacks, if one can: whole lines on a grid, one set of maps."""
        sampling, acceleration = buffer.plane_sampling, buffer.encoding.acceleration[0]
        if acceleration == 1 or sampling.has_partial_echo() or buffer.csm.shape[2] > 1:
            return None
        try:
            sampling.uniform_ends(self.network.card.name, acceleration)
            return self.grappa.kernel_of(buffer)
        except (ValueError, RuntimeError) as error:
            log.info("%s: the network's image is not compared with GRAPPA's: %s", self.network.card.name, error)
            return None
