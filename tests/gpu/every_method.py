"""Every method once on a device, and how little its pixels may differ from the CPU's. Needs no pytest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.adaptation.learner import Learner
from kband_core.calibration import coil_maps, espirit_maps, walsh_maps
from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.losses import kspace_loss
from kband_core.networks import Modl
from kband_core.noise import noise_level
from kband_core.nufft import normal_nufft
from kband_core.operators import encoding_operator
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.raki.closed_form import fit_raki_rf
from kband_core.raki.fit import fit_raki
from kband_core.raki.gfactor import gfactor_map
from kband_core.raki.network import apply_raki
from kband_core.reconstruct import network, sense, zero_filled
from kband_core.sampling import Grid

MATRIX, COILS, ACCELERATION, ACS = 96, 8, 3, slice(36, 60)
SINGLE = 1e-6  # relative squared error of single precision in another order of summation
FITTED = 1e-4  # of weights that 60 steps of Adam have reached, which follow rounding
TENSOR_CORES = 1e-5  # of convolutions, whose factors a GPU rounds to 10 bits


@dataclass(frozen=True)
class Scan:
    """One simulated head on a device: k-space `(coil, ky, kx)`, every third line of it, and calibration lines."""

    kspace: Tensor
    lines: Grid

    @property
    def acs(self) -> Tensor:
        return self.kspace[:, ACS]

    @property
    def acquired(self) -> Tensor:
        return self.kspace * self.lines.mask


def _by_sense(maps: Callable[[Tensor], Tensor]) -> Callable[[Scan], Tensor]:
    def reconstruct(scan: Scan) -> Tensor:
        return sense(scan.acquired, scan.lines, maps(scan.acs), regularisation=0.01, n_iterations=20)

    return reconstruct


def _by_grappa(scan: Scan) -> Tensor:
    return zero_filled(apply_grappa(calibrate_grappa(scan.acs, ACCELERATION), scan.acquired, scan.lines))


def _by_raki(scan: Scan) -> Tensor:
    fitted = fit_raki(scan.acs, ACCELERATION, rng=_seeded(), windows="balanced", regularisation=1e-2)
    return zero_filled(apply_raki(fitted, scan.acquired, scan.lines))


def _by_random_features(scan: Scan) -> Tensor:
    return zero_filled(apply_raki(fit_raki_rf(scan.acs, ACCELERATION, rng=_seeded()), scan.acquired, scan.lines))


def _gfactor(scan: Scan) -> Tensor:
    part = Scan(scan.kspace[:, :, 32:64], scan.lines)  # which a CPU maps in a moment
    return gfactor_map(calibrate_grappa(part.acs, ACCELERATION), part.acquired, part.lines)


def _model(scan: Scan) -> tuple[Modl, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Modl(unrolls=3, denoiser="multiscale", channels=16, wide=24, blocks=1, shared=False, start="sense")
        for denoiser in model.denoisers:
            torch.nn.init.normal_(denoiser.tail.weight, std=0.01)
    return model.to(scan.kspace.device), espirit_maps(scan.acs, (MATRIX, MATRIX))[None]


def _by_network(scan: Scan) -> Tensor:
    model, csm = _model(scan)
    return network(scan.acquired[None], Grid(scan.lines.mask[None]), csm, model)


def _by_published_network(scan: Scan) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Modl(unrolls=2, blocks=2, channels=8).to(scan.kspace.device)
    csm = espirit_maps(scan.acs, (MATRIX, MATRIX))[None]
    return network(scan.acquired[None], Grid(scan.lines.mask[None]), csm, model)


def _by_adapted_network(scan: Scan) -> Tensor:
    model, csm = _model(scan)
    planes = scan.acquired[None], Grid(scan.lines.mask[None]), csm
    learner = Learner(model, *planes, noise_level(scan.acquired[None], planes[1].mask), rng=_seeded())
    for _ in range(2):
        learner.step()
    return network(*planes, learner.model_with(learner.learnt()))


def _gradient(scan: Scan) -> Tensor:
    """Of a training step, all weights in a row."""
    model, csm = _model(scan)
    scale = scan.kspace.abs().max()
    noise = torch.full((1,), 0.01, device=scale.device)
    image = model(scan.acquired[None] / scale, encoding_operator(Grid(scan.lines.mask[None]), csm), noise)
    everywhere = torch.ones(1, MATRIX, 1, device=scale.device)
    kspace_loss(image, encoding_operator(Grid(everywhere > 0), csm), scan.kspace[None] / scale, everywhere).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])[None]


def _along_trajectory(scan: Scan) -> Tensor:
    """AᴴA of a trajectory, by a transfer function that is given."""
    k = torch.arange(2 * MATRIX, device=scan.kspace.device) / MATRIX - 1
    spectrum = torch.fft.ifftshift(1 / (0.05 + k[:, None].hypot(k)))
    return root_sum_of_squares(normal_nufft(to_image(scan.kspace), spectrum))


EQUAL: dict[str, tuple[Callable[[Scan], Tensor], float]] = {
    "SENSE, ESPIRiT maps": (_by_sense(lambda acs: espirit_maps(acs, (MATRIX, MATRIX))), SINGLE),
    "SENSE, two sets": (_by_sense(lambda acs: espirit_maps(acs, (MATRIX, MATRIX), n_sets=2)), SINGLE),
    "SENSE, maps of the chain": (_by_sense(lambda acs: coil_maps(acs, (MATRIX, MATRIX)).certain()), SINGLE),
    "SENSE, Walsh maps": (_by_sense(lambda acs: walsh_maps(acs, (MATRIX, MATRIX))), SINGLE),
    "GRAPPA": (_by_grappa, SINGLE),
    "RAKI": (_by_raki, FITTED),
    "RAKI, random features": (_by_random_features, SINGLE),
    "g-factor": (_gfactor, SINGLE),
    "network": (_by_network, TENSOR_CORES),
    "network of the paper": (_by_published_network, TENSOR_CORES),
    "network that adapts": (_by_adapted_network, FITTED),
    "gradient of a training step": (_gradient, 10 * TENSOR_CORES),
    "along a trajectory": (_along_trajectory, SINGLE),
}


def reconstructed(name: str, device: torch.device | str) -> Tensor:
    """What the method of that name makes of the simulated head on a device; real, on the CPU."""
    kspace = coil_kspace(head_phantom(), loop_coils(COILS), (MATRIX, MATRIX), oversampling=1)
    lines = equispaced_lines(MATRIX, ACCELERATION, acs_lines=ACS.stop - ACS.start)
    made = EQUAL[name][0](Scan(kspace.to(device), lines.to(device))).cpu()
    return made.abs() if made.is_complex() else made


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
