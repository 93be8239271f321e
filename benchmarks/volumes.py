"""Scans undersampled along ky and kz: SENSE beside BART's, GRAPPA beside pygrappa's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from measure import data_option, fully_sampled, print_conditions, print_table, scores
from peers import bart_maps, bart_sense, pygrappa, require_peers
from torch import Tensor

from gadgets.coils.coil_compression import CoilCompression
from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.coils.coil_whitening import CoilWhitening
from gadgets.encoding import Encoding, Limit
from gadgets.items import ReconBuffer
from gadgets.recon.completed import CompletedByGrappa
from gadgets.recon.grappa import Grappa
from gadgets.recon.network import Network
from gadgets.recon.sense import Sense
from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image, to_kspace
from kband_core.lattice import Lattice
from kband_core.models import load_card
from kband_core.patterns import poisson_disc
from kband_core.phantom import complex_noise
from kband_core.phantom_volume import ring_coils, volume_kspace
from kband_core.sampling import Grid

ACS_LINES = 24
NOISE = 0.02  # SD of real and imaginary part, where the head has 0.2 to 1
PLANES = {"t1 8ch": ("brain_t1_8ch", 0), "gre 32ch slice 0": ("head_gre_32ch_4slices", 0),
          "gre 32ch slice 2": ("head_gre_32ch_4slices", 2)}  # fmt: skip
PATTERNS = ("2×2", "2×2, CAIPI 1", "3×2, CAIPI 1", "2×2, ellipse", "Poisson 4")
PYGRAPPA_KERNELS, PYGRAPPA_REGULARISATIONS = (5, 7), (0.001, 0.01)
LIMIT = 1.05


class Case(NamedTuple):
    """K-space `(x, coil, kz, ky)`, x being separated, what of (kz, ky) was acquired, and what all of it would show."""

    name: str
    kspace: Tensor
    acquired: Tensor
    acceleration: tuple[int, int]
    reference: Tensor

    @property
    def buffer(self) -> ReconBuffer:
        """As the receiving room sends it."""
        n_x, _, *shape = self.kspace.shape
        z, y = (slice(n // 2 - ACS_LINES // 2, n // 2 + ACS_LINES // 2) for n in shape)
        headers = np.empty((1, 1, 1), object)
        headers[0, 0, 0] = _Header()
        step1, step2 = (Limit(0, n - 1, n // 2) for n in shape[::-1])
        matrix, fov = (n_x, *shape[::-1]), (1.0, 1.0, 1.0)
        encoding = Encoding(0, "cartesian", matrix, fov, matrix, fov, step1, step2, {"average": None},
                            self.acceleration, "embedded", 1)  # fmt: skip
        kspace = (self.kspace * self.acquired).movedim(1, 0)[None, None, None]
        return ReconBuffer(
            kspace, Grid(self.acquired[None, None, None, None]), headers, headers, encoding, (0, n_x),
            acs=self.kspace[..., z, y].contiguous()[None], turned=True,
        )  # fmt: skip

    @property
    def lines(self) -> Tensor:
        """The same for others: `(coil, kz, ky, kx)`, zero where nothing was acquired."""
        return to_kspace((self.kspace * self.acquired).movedim(0, -1), (-1,)).contiguous()


class _Header:
    """All that a slice's place in the buffer asks of a line."""

    class idx:
        slice = 0


def mask_of(pattern: str, shape: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Tell which lines (kz, ky) a pattern acquires, ACS included, and how many times fewer along ky and kz."""
    z, y = (slice(n // 2 - ACS_LINES // 2, n // 2 + ACS_LINES // 2) for n in shape)
    if pattern.startswith("Poisson"):
        rng = torch.Generator().manual_seed(0)
        return poisson_disc(shape, 4, acs=(ACS_LINES, ACS_LINES), rng=rng).mask, (2, 2)
    acceleration = int(pattern[0]), int(pattern[2])
    acquired = Lattice(acceleration, (0, 0), 1 if "CAIPI" in pattern else 0).mask(shape)
    if "ellipse" in pattern:
        kz, ky = (((torch.arange(n) - n // 2) / (n / 2)).square() for n in shape)
        acquired &= kz[:, None] + ky <= 1
    acquired[z, y] = True
    return acquired, acceleration


def undersampled(name: str, kspace: Tensor, clean: Tensor | None = None) -> Iterator[Case]:
    """Take lines away from k-space `(x, coil, kz, ky)`; say what acceleration is left. `clean`: it without noise."""
    whole = kspace if clean is None else clean
    for pattern in PATTERNS:
        acquired, acceleration = mask_of(pattern, tuple(kspace.shape[-2:]))
        covered = _inside_ellipse(acquired.shape) if "ellipse" in pattern else torch.ones_like(acquired)
        reference = root_sum_of_squares(to_image(whole * covered))
        left = acquired.numel() / int(acquired.sum())
        yield Case(f"{name}, {pattern} ({left:.1f})", kspace, acquired, acceleration, reference)


def simulated(shape: tuple[int, int, int], n_coils: int) -> tuple[Tensor, Tensor]:
    """K-space `(x, coil, kz, ky)` of the head phantom, `shape` (z, y, x), with white noise and without."""
    rng = torch.Generator().manual_seed(0)
    kspace = torch.stack(list(volume_kspace(ring_coils(n_coils), shape, fov=(1.25, 1.0, 1.0), oversampling=1)), 1)
    noisy = kspace + complex_noise(NOISE**2 * torch.eye(n_coils), kspace.shape[1:], rng)
    separated = (to_image(each, (-1,)).permute(3, 0, 1, 2).contiguous() for each in (noisy, kspace))
    return tuple(separated)


@click.command()
@data_option
@click.option("--matrix", default="12,64,48", show_default=True, help="Of the simulated volume: x,y,z.")
def main(data: Path, matrix: str) -> None:
    """Compare on the same k-space and the same λ; exit with 1 if an error exceeds 1.05 of theirs."""
    require_peers()
    print_conditions(
        "real planes both of whose axes are undersampled (x of length 1), and a simulated head, 12 coils; with\n"
        f"{ACS_LINES} × {ACS_LINES} ACS lines; in brackets the R that is left. Errors are those of magnitudes to the\n"
        "root sum of squares of the fully sampled coil images, noise-free if simulated, after one least-squares\n"
        "factor.\n"
        "'In head': where both have maps."
    )
    planes = [
        case for name, (stem, number) in PLANES.items()
        for case in undersampled(name, fully_sampled(data / f"{stem}.h5", number)[None])
    ]  # fmt: skip
    n_x, n_y, n_z = map(int, matrix.split(","))
    volumes = list(undersampled(f"simulated {n_x}×{n_y}×{n_z}", *simulated((n_z, n_y, n_x), 12)))
    exceeding = [each for cases in (planes, volumes) for each in (*_compare_sense(cases), *_compare_grappa(cases))]
    _compare_network(planes)
    if exceeding:
        raise click.ClickException(f"{len(exceeding)} errors exceed {LIMIT} of theirs: {'; '.join(exceeding)}")
    click.echo(f"no error exceeds {LIMIT} of theirs")


def _compare_sense(cases: Sequence[Case]) -> list[str]:
    rows, exceeding, weight, maps = [], [], Sense.regularisation, {}
    for case in cases:
        whose = case.name.partition(", ")[0]  # the same calibration lines, whatever the pattern
        if whose not in maps:
            of_planes = [bart_maps(plane.contiguous(), ACS_LINES, 1) for plane in case.kspace * case.acquired]
            maps = {whose: torch.stack(of_planes, -1)}  # in three dimensions ecalib takes minutes
        (buffer,) = CoilSensitivities().process([case.buffer])
        ours = Sense().reconstruct(buffer).image
        theirs = bart_sense(case.lines, maps[whose], weight, 100, n_axes=3)[0]
        other, their_maps = _turned(theirs, case), _turned(maps[whose][0].abs().amax(0), case)
        head = (buffer.csm[0].abs().amax((1, 2)) > 0) & (their_maps > 0)
        row = [case.name]
        for where in (torch.ones_like(head), head):
            errors = [_scores(image, case, where)[0] for image in (ours, other)]
            row += [*(f"{error:.4f}" for error in errors), f"{errors[0] / errors[1]:.3f}"]
            if errors[0] / errors[1] > LIMIT:
                exceeding.append(f"SENSE, {case.name}: {errors[0] / errors[1]:.3f}")
        rows.append(row)
    print_table((f"SENSE, λ = {weight}", "NRMSE ours", "BART", "ratio", "in head ours", "BART", "ratio"), rows)
    return exceeding


def _compare_grappa(cases: Sequence[Case]) -> list[str]:
    rows, exceeding = [], []
    for case in cases:
        if "Poisson" in case.name:
            continue
        ours = _scores(root_sum_of_squares(to_image(Grappa().filling(case.buffer).fill())), case)
        other, setting = min(_tried_pygrappa(case))
        ratio = ours[0] / other[0]
        rows.append((case.name, f"{ours[0]:.4f}", f"{other[0]:.4f}", f"{ratio:.3f}", f"{ours[1]:.3f}",
                     f"{other[1]:.3f}", setting))  # fmt: skip
        if ratio > LIMIT:
            exceeding.append(f"GRAPPA, {case.name}: {ratio:.3f}")
    print_table(("GRAPPA", "NRMSE ours", "pygrappa", "ratio", "SSIM ours", "pygrappa", "pygrappa's choice"), rows)
    return exceeding


def _compare_network(cases: Sequence[Case]) -> None:
    """The network that ships, let loose on what its card says it has not seen, beside SENSE; both as the chain runs."""
    card, rows = load_card("simulated_small"), []
    seen = card.limits.model_copy(update={"sampling": ("lines", "samples"), "snr": None, "unmapped": None})
    network = Network(card.model_copy(update={"limits": seen}))
    for case in cases:
        (buffer,) = CoilWhitening().process([case.buffer])
        for gadget in (CoilCompression(), CoilSensitivities()):
            (buffer,) = gadget.process([buffer])
        images = (
            CompletedByGrappa(method, Grappa(), gives_way_to_better=method is network).reconstruct(buffer).image
            for method in (network, Sense())
        )
        errors = [_scores(image, case)[0] for image in images]
        rows.append((case.name, *(f"{error:.4f}" for error in errors), f"{errors[0] / errors[1]:.3f}"))
    print_table(("network", "NRMSE network", "SENSE", "ratio"), rows)


def _tried_pygrappa(case: Case) -> Iterator[tuple[tuple[float, float], str]]:
    z, y = (slice(n // 2 - ACS_LINES // 2, n // 2 + ACS_LINES // 2) for n in case.kspace.shape[-2:])
    lines = case.lines
    acs = to_kspace(case.kspace[..., z, y].movedim(0, -1), (-1,))
    for along, weight in product(PYGRAPPA_KERNELS, PYGRAPPA_REGULARISATIONS):
        kernel = (along, along, min(5, lines.shape[-1]))
        if lines.shape[-1] == 1:
            filled = pygrappa(lines[..., 0], acs[..., 0].contiguous(), kernel[:2], weight)[..., None]
        elif (along, weight) != (PYGRAPPA_KERNELS[0], PYGRAPPA_REGULARISATIONS[-1]):
            continue  # of a volume: hours
        else:
            filled = pygrappa(lines, acs.contiguous(), kernel, weight)
        if "ellipse" in case.name:  # it fills corners, of which the reference has none
            filled = filled * _inside_ellipse(filled.shape[1:3])[..., None]
        image = to_image(filled, (-3, -2, -1)).abs().square().sum(0).sqrt()
        yield _scores(_turned(image, case), case), f"{'×'.join(map(str, kernel))}, {weight}"


def _scores(image: Tensor, case: Case, where: Tensor | float = 1.0) -> tuple[float, float]:
    """NRMSE and SSIM of all planes of a volume `(x, z, y)`, laid below each other."""
    return scores((image * where).flatten(0, 1), (case.reference * where).flatten(0, 1))


def _turned(image: Tensor, case: Case) -> Tensor:
    """An image `(z, y, x)`, or `(y, x)` as BART returns one of a single x, as `(x, z, y)`."""
    return image.reshape(*case.kspace.shape[-2:], len(case.kspace)).movedim(-1, 0)


def _inside_ellipse(shape: torch.Size) -> Tensor:
    kz, ky = (((torch.arange(n) - n // 2) / (n / 2)).square() for n in shape)
    return kz[:, None] + ky <= 1


if __name__ == "__main__":
    main()
