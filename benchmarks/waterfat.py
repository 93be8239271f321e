"""Water and fat of real echoes: fewer of them, and undersampled through the chain, against the fit of all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import h5py
import numpy as np
import torch
from matplotlib.figure import Figure
from measure import data_option, print_conditions, print_table
from torch import Tensor

from gadgets.mrd import ismrmrd
from kband_core.fourier import to_kspace
from kband_core.phantom import loop_coils
from kband_core.relaxometry.fat_model import fat_shift_hz
from kband_core.relaxometry.water_fat import WaterFatMaps, water_fat
from pipelines.api import reconstruct
from pipelines.api.made_up_scan import made_up_scan
from pipelines.files.mrd_file import write_raw

xsd = ismrmrd.xsd

N_COILS, ACS_LINES, NOISE = 8, 24, 1.0  # SD of each coil's real part, as much as the source's images have
SWAPPED = 50.0  # percent by which PDFF is another
FITS = [("09", 6, None), ("09", 4, None), ("09", 3, None), ("09", 8, 1), ("09", 8, 2), ("09", 8, 3), ("09", 4, 2),
        ("02", 4, 2), ("02", 4, 3), ("07", 3, 1), ("07", 3, 2), ("13", 3, 2)]  # fmt: skip
SHOWN = {("09", 8, 2): "8 echoes, R=2", ("09", 3, None): "3 of 8 echoes"}


class Maps(NamedTuple):
    """What is compared, `(y, x)` each."""

    pdff: Tensor
    r2star: Tensor
    b0: Tensor
    unsure: Tensor

    @classmethod
    def of(cls, maps: WaterFatMaps) -> Maps:
        return cls(maps.pdff, maps.r2star, maps.b0, maps.unsure)


def read(data: Path, name: str) -> tuple[Tensor, list[float], float]:
    """Echoes `(echo, y, x)`, their times in ms, and the field in T."""
    with h5py.File(data / f"waterfat_{name}.h5") as file:
        return torch.from_numpy(file["image"][()]), (1e3 * file["te_s"][()]).tolist(), float(file.attrs["field_T"])


def scan_of(echoes: Tensor, times: list[float], field_t: float, acceleration: int) -> tuple[str, list]:
    """Header and lines of the echoes as simulated coils see them, every R-th line and those that calibrate."""
    n_y, n_x = echoes.shape[-2:]
    kspace = to_kspace(echoes[:, None] * loop_coils(N_COILS).maps((n_y, n_x)))
    kspace = kspace + NOISE * 2**0.5 * torch.randn(
        kspace.shape, dtype=kspace.dtype, generator=torch.Generator().manual_seed(0)
    )
    from_centre = torch.arange(n_y) - n_y // 2
    mask = (from_centre % acceleration == 0) | ((from_centre >= -ACS_LINES // 2) & (from_centre < ACS_LINES // 2))
    text, lines = made_up_scan(kspace.numpy(), mask[:, None].numpy())
    header = xsd.CreateFromDocument(text)
    limits = header.encoding[0].encodingLimits
    limits.contrast, limits.slice = limits.slice, xsd.limitType(minimum=0, maximum=0, center=0)
    header.sequenceParameters = xsd.sequenceParametersType(TE=times)
    header.acquisitionSystemInformation.systemFieldStrength_T = field_t
    return xsd.ToXML(header), list(_contrasts(lines))


def _contrasts(lines: Iterator[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition]:
    for line in lines:
        line.idx.contrast, line.idx.slice = line.idx.slice, 0
        yield line


def through_the_chain(echoes: Tensor, times: list[float], field_t: float, acceleration: int) -> Maps:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "echoes.h5"
        write_raw(path, *scan_of(echoes, times, field_t, acceleration))
        maps = reconstruct(path, "waterfat").maps
    return Maps(*(torch.from_numpy(np.squeeze(maps[name])) for name in ("PDFF", "R2*", "B0", "unsure")))


def row_of(found: Maps, truth: Maps, period: float) -> list[str]:
    """Errors where both are sure of themselves; swaps, and how many of them bear no flag, where the truth is sure."""
    unsure = found.unsure > 0.5
    known, both = ~truth.unsure, ~truth.unsure & ~unsure
    swapped = ((found.pdff - truth.pdff).abs() > SWAPPED) & (found.pdff > 0)  # 0 is no value
    b0 = torch.remainder(found.b0 - truth.b0 + period / 2, period) - period / 2
    apart = (found.pdff - truth.pdff, found.r2star - truth.r2star, b0)
    medians = [f"{float(one[both & ~swapped].abs().median()):.2f}" for one in apart]
    shares = [swapped & known, swapped & both, unsure & known]
    return medians + [f"{100 * float(share.sum() / known.sum()):.2f}" for share in shares]


def draw(pairs: dict[str, tuple[Maps, Maps]], field_t: float, path: Path) -> None:
    """PDFF, its difference, B0, and the flags, above each other for each pair."""
    figure, shift = Figure(figsize=(20, 5 * len(pairs)), layout="constrained"), fat_shift_hz(field_t)
    axes = figure.subplots(len(pairs), 5, squeeze=False)
    for row, (name, (found, truth)) in zip(axes, pairs.items(), strict=True):
        for axis, (title, values, window, colours) in zip(row, (
            ("all echoes: PDFF", truth.pdff, (0, 100), "viridis"),
            (f"{name}: PDFF", found.pdff, (0, 100), "viridis"),
            ("difference", found.pdff - truth.pdff, (-20, 20), "RdBu_r"),
            ("B0", found.b0, (-shift, shift), "RdBu_r"),
            ("unsure", found.unsure.float(), (0, 1), "gray"),
        ), strict=True):  # fmt: skip
            shown = axis.imshow(values.numpy(), vmin=window[0], vmax=window[1], cmap=colours)
            axis.set_title(title)
            axis.set_axis_off()
            figure.colorbar(shown, ax=axis, shrink=0.7)
    figure.savefig(path, dpi=60)


@click.command()
@data_option
@click.option("--picture", type=click.Path(path_type=Path), metavar="PNG", help="Draw the maps of one data set.")
def main(data: Path, picture: Path | None) -> None:
    """Fit all echoes of the fully sampled images, then fewer of them, and what the chain makes of their lines."""
    print_conditions(
        f"waterfat_*: one volunteer, 1.5 T; {N_COILS} simulated coils with noise of SD {NOISE:g} each, {ACS_LINES} "
        f"calibration lines; R -: fit of the images themselves. Median |difference| from the fit of all echoes where "
        f"both are sure; swaps: a value of PDFF {SWAPPED:g} % away, of all pixels where that fit is sure."
    )
    rows, truths, shown = [], {}, {}
    for name, n_echoes, acceleration in FITS:
        echoes, times, field_t = read(data, name)
        if name not in truths:
            truths[name] = Maps.of(water_fat(echoes, times, field_t))
        began = time.perf_counter()
        if acceleration is None:
            found = Maps.of(water_fat(echoes[:n_echoes], times[:n_echoes], field_t))
        else:
            found = through_the_chain(echoes[:n_echoes], times[:n_echoes], field_t, acceleration)
        seconds = time.perf_counter() - began
        matrix, period = " × ".join(map(str, echoes.shape[1:])), 1e3 / (times[1] - times[0])
        rows.append([name, matrix, f"{n_echoes} of {len(times)}", f"{acceleration or '-'}",
                     *row_of(found, truths[name], period), f"{seconds:.1f}"])  # fmt: skip
        if (name, n_echoes, acceleration) in SHOWN:
            shown[SHOWN[name, n_echoes, acceleration]] = found, truths[name]
    print_table(["data", "matrix", "echoes", "R", "PDFF %", "R2* /s", "B0 Hz", "swaps %", "without flag %", "unsure %",
                 "seconds"], rows)  # fmt: skip
    if picture:
        draw(shown, field_t, picture)


if __name__ == "__main__":
    main()
