"""RAKI: a network for each slice, fitted to its calibration lines while the scan still runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from gadgets.coils.per_slice import PerSlice
from gadgets.encoding import Encoding
from gadgets.gadget import field
from gadgets.images.quantitative import GFACTOR
from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.combined import combined
from gadgets.recon.few_lines import told_of_few_lines
from gadgets.recon.gfactor import GFactor
from gadgets.recon.grappa import Grappa
from gadgets.recon.reconstruction import Method, Reconstruction
from kband_core.raki.closed_form import fit_raki_rf
from kband_core.raki.fit import fit_raki, fit_raki_as_published, refit_raki
from kband_core.raki.network import RakiNetwork, fill_lines_by

Schedule = Annotated[
    Literal["fast", "paper", "random_features"],
    field(description="fast: 60 or 120 steps and a ridge; paper: 500 epochs; random_features: ridge alone, ours"),
]
Slope = Annotated[float, field(ge=0, le=1, description="of the activation's negative side; 1 is linear")]
Seed = Annotated[int, field(ge=0, description="of the random weights a fit starts from")]
TimeBudget = Annotated[
    float, field(gt=0, description="longest training, s; then what it has learnt by then is used, by paper GRAPPA")
]


@dataclass
class Raki(Method):
    """Missing lines filled by a network, coils combined by the maps of the buffer, if any.

    Where the time for training is over, the image says how many steps were done; with the schedule "paper" the network
    is of no use then.

    Schedule "fast" trains only the first slice of an encoding: every further one takes the hidden layers of the one
    fitted before it and solves for the rest. The other schedules start each slice from the same random weights.
    """

    schedule: Schedule = "fast"
    slope: Slope = 0.5
    seed: Seed = 0
    time_budget: TimeBudget = 30.0
    label: ClassVar[str] = "RAKI"

    def __post_init__(self) -> None:
        self._networks = PerSlice(self.label, self.fit)
        self._latest: dict[int, RakiNetwork] = {}  # by encoding

    def prepare(self, calibration: Calibration) -> None:
        if not calibration.turned:
            self._networks.prepare(calibration)

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        if buffer.turned:
            raise ValueError("RAKI fills lines left out along one direction, and here they were along ky and kz")
        kspace, sampling = buffer.planes()
        network = self._networks.of(buffer)[0]
        csm = None if buffer.csm is None else buffer.csm[0]
        maps = {GFACTOR.name: GFactor(network, kspace, sampling, csm)}
        made = combined(buffer, fill_lines_by(network, kspace, sampling), maps)
        grappa = Grappa()  # which it corrects
        few = told_of_few_lines(
            buffer, (grappa.kernel_lines, grappa.kernel_samples), lambda: grappa.filling(buffer).kernel
        )
        return replace(made, notes={**made.notes, **_told(network), **few})

    def fit(self, acs: Tensor, encoding: Encoding, matrix: tuple[int, int]) -> list[RakiNetwork]:
        """Fit one network for each slice (and z). By schedule "paper", raises `TimeBudgetExceeded`."""
        acceleration, rng = encoding.acceleration[0], torch.Generator().manual_seed(self.seed)
        if self.schedule == "paper":
            network = fit_raki_as_published(acs, acceleration, rng=rng, slope=self.slope, time_budget=self.time_budget)
            return [network.of_slice(index) for index in range(len(acs))]
        if self.schedule == "random_features":
            network = fit_raki_rf(acs, acceleration, rng=rng, slope=self.slope, **_weighting(encoding))
            return [network.of_slice(index) for index in range(len(acs))]
        fitted, latest, weighting = [], self._latest.get(encoding.index), _weighting(encoding)
        for one in acs:
            if latest is None:
                latest = fit_raki(
                    one, acceleration, rng=rng, slope=self.slope, time_budget=self.time_budget, **weighting
                )
            else:
                latest = refit_raki(latest, one, **weighting)
            fitted.append(latest)
        self._latest[encoding.index] = latest
        return fitted


def _told(network: RakiNetwork) -> dict[str, str]:
    if network.cut_short is None:
        return {}
    n_done, n_planned = network.cut_short
    return {"kband_raki_steps": f"{n_done} of {n_planned}"}


def _weighting(encoding: Encoding) -> dict[str, Any]:
    """Where calibration lines are in the image, the centre is measured: then the fit may care for the other lines."""
    if encoding.calibrates_apart:
        return {}
    return {"windows": "balanced", "regularisation": 1e-2}
