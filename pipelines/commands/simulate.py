"""`kband simulate`: a raw data set of a head phantom, as a scanner would have sent it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="SCAN.h5",
              help="The MRD file to write.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--matrix", type=click.IntRange(16, 4096), default=256, show_default=True,
              help="Pixels along x and y; the field of view is 230 mm.")
@click.option("--coils", "n_coils", type=click.IntRange(1, 256), default=8, show_default=True,
              help="Receive coils in a ring around the head.")
@click.option("--slices", "n_slices", type=click.IntRange(1, 47), default=3, show_default=True,
              help="Slices, 5 mm apart.")
@click.option("--repetitions", "n_repetitions", type=click.IntRange(1, 65535), default=1, show_default=True,
              help="Repetitions of the scan.")
@click.option("--averages", "n_averages", type=click.IntRange(1, 65535), default=1, show_default=True,
              help="Averages of each slice.")
@click.option("--acceleration", type=click.IntRange(1), default=3, show_default=True,
              help="Every which line is acquired.")
@click.option("--acs-lines", type=click.IntRange(1), default=24, show_default=True,
              help="Calibration lines around the centre, if accelerated.")
@click.option("--calibration", type=click.Choice(["embedded", "separate", "none"]), default="embedded",
              show_default=True, help="Calibration lines among the image lines, before them, or left out.")
@click.option("--oversampling", type=click.IntRange(1, 8), default=2, show_default=True,
              help="Readout samples per pixel along x.")
@click.option("--partial-fourier", type=float, default=1.0, show_default=True,
              help="Fraction of the rows of k-space that are scanned, above 0.5; the first ones are left out.")
@click.option("--trajectory", type=click.Choice(["cartesian", "radial", "golden", "spiral"]), default="cartesian",
              show_default=True, help="Where k-space is sampled; only on the Cartesian grid are lines left out, or "
                                      "calibrate.")
@click.option("--shots", "n_shots", type=click.IntRange(1, 65535), default=64, show_default=True,
              help="Spokes or interleaves of an image, along another trajectory.")
@click.option("--snr", type=float, default=40.0, show_default=True,
              help="White matter over the noise SD of the real part of one coil, in the fully sampled image of one "
                   "average.")
@click.option("--noise-scan/--no-noise-scan", default=True, show_default=True,
              help="Begin with noise lines, of 10 us dwell time.")
@click.option("--interleaved", is_flag=True, help="Acquire each line of all slices before the next line; otherwise "
                                                  "slice by slice, even slices first.")
@click.option("--held-out-lines", type=click.IntRange(0), default=0, show_default=True,
              help="Lines of each image, drawn at random from all, that are measured first and kept out of it, to tell "
                   "its error.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
              help="Seed of the noise: the same options and seed give the same scan.")
def simulate(output: Path, overwrite: bool, **options: Any) -> None:
    """Write a raw data set of a simulated head scan as an MRD file.

    The head is made of ellipses and its k-space is exact; a 2-D axial scan, Cartesian, radial or spiral, with
    noise that is correlated between coils. The file also holds the noise-free images that a perfect scan would give,
    for kband view --reference.
    """
    from pipelines.files.finished_file import HDF5, FileProblem, refuse_existing, refuse_other_format
    from pipelines.files.mrd_file import write_raw
    from pipelines.simulation.simulated_protocol import Protocol
    from pipelines.simulation.simulated_scan import simulate_scan

    try:
        refuse_other_format(output, *HDF5)
        refuse_existing(output, overwrite)
        header_xml, acquisitions, reference = simulate_scan(Protocol(**options), progress=True)
        write_raw(output, header_xml, acquisitions, reference=reference, overwrite=overwrite)
    except (FileProblem, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    size = output.stat().st_size / 2**20
    click.echo(f"{output}: {len(acquisitions):,} lines of {options['n_coils']} coils, {size:,.1f} MiB")
