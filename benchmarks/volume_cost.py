"""Memory and time of a volume undersampled along ky and kz, beside BART's."""

from __future__ import annotations

import resource
from multiprocessing import get_context

import click
import torch
from measure import print_conditions, print_table
from peers import bart_maps, bart_sense, require_peers
from volumes import ACS_LINES, NOISE, Case, mask_of, simulated

from gadgets.coils.coil_sensitivities import CoilSensitivities
from gadgets.recon.grappa import Grappa
from gadgets.recon.sense import Sense


@click.command()
@click.option("--matrix", default="128,96,80", show_default=True, help="x,y,z.")
@click.option("--coils", "n_coils", default=16, show_default=True)
@click.option("--beside-bart/--alone", default=True, show_default=True)
def main(matrix: str, n_coils: int, beside_bart: bool) -> None:
    """Measure each in a process of its own."""
    if beside_bart:
        require_peers()
    n_x, n_y, n_z = map(int, matrix.split(","))
    print_conditions(
        f"{n_x} × {n_y} × {n_z}, {n_coils} coils, R=2×2 with CAIPI 1, {ACS_LINES} × {ACS_LINES} ACS lines; k-space,\n"
        f"of which {8 * n_x * n_y * n_z * n_coils / 2**30:.2f} GiB stand in memory before, is in the peaks, torch too."
    )
    rows = []
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for who in (_ours, _barts) if beside_bart else (_ours,):
            rows += pool.apply(who, ((n_z, n_y, n_x), n_coils))
    print_table(("", "CPU s", "peak GiB"), rows)


def _large_case(shape: tuple[int, int, int], n_coils: int) -> Case:
    rng = torch.Generator().manual_seed(0)
    head, _ = simulated(tuple(max(n // 4, 32) for n in shape), n_coils)  # coils and object alike, at a coarser matrix
    kspace = torch.randn(shape[2], n_coils, *shape[:2], dtype=torch.complex64, generator=rng) * NOISE
    n_x, _, n_z, n_y = head.shape
    some = [slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip((shape[0], shape[1]), (n_z, n_y), strict=True)]
    along_x = (torch.arange(shape[2]) * n_x / shape[2]).long()
    kspace[..., some[0], some[1]] += head[along_x]
    acquired, acceleration = mask_of("2×2, CAIPI 1", shape[:2])
    return Case("large", kspace, acquired, acceleration, kspace[:, 0].abs())


def _ours(shape: tuple[int, int, int], n_coils: int) -> list[tuple[str, str, str]]:
    torch.set_num_threads(1)
    buffer = _large_case(shape, n_coils).buffer
    start, rows = _spent(), []
    (buffer,) = CoilSensitivities().process([buffer])
    rows.append(("maps, ours", *_since(start)))
    start = _spent()
    Sense().reconstruct(buffer)
    rows.append((f"SENSE, {Sense.n_iterations} iterations, ours", *_since(start)))
    start = _spent()
    Grappa().reconstruct(buffer)
    rows.append(("GRAPPA, kernel included, ours", *_since(start)))
    return rows


def _barts(shape: tuple[int, int, int], n_coils: int) -> list[tuple[str, str, str]]:
    lines = _large_case(shape, n_coils).lines
    start, rows = _spent(resource.RUSAGE_CHILDREN), []
    csm = bart_maps(lines, ACS_LINES, 1, n_axes=3)
    rows.append(("maps, BART", *_since(start, resource.RUSAGE_CHILDREN)))
    start = _spent(resource.RUSAGE_CHILDREN)
    bart_sense(lines, csm, Sense.regularisation, Sense.n_iterations, n_axes=3)
    rows.append((f"SENSE, {Sense.n_iterations} iterations, BART", *_since(start, resource.RUSAGE_CHILDREN)))
    return rows


def _spent(who: int = resource.RUSAGE_SELF) -> float:
    """Seconds of a processor: others may be at work on this machine."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _since(start: float, who: int = resource.RUSAGE_SELF) -> tuple[str, str]:
    return f"{_spent(who) - start:.1f}", f"{resource.getrusage(who).ru_maxrss / 2**20:.2f}"


if __name__ == "__main__":
    main()
