"""`kband export`: MRD files in other formats."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.h5")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="A new folder.")
@click.option("--format", "form", type=click.Choice(["dicom", "nifti", "npy", "cfl"]), default="dicom",
              help="Of raw lines, only npy and cfl.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the folder, if it holds nothing but files of that format.")
def export(file: Path, output: Path, form: str, overwrite: bool) -> None:
    """Write the images of an MRD file, or the k-space of raw lines, for other programs.

    DICOM: a folder for each series, a file for each plane, maps as Parametric Maps. NIfTI, npy, cfl (BART): a file for
    each series, and what its images say of themselves in a JSON file beside it. K-space: an array for each image,
    (coil, kz, ky, kx), neither whitened nor compressed, without readout oversampling.

    Exits with 1 if the file cannot be read to its end, or if lines of a raw file have no place.
    """
    from pipelines.export.export_file import export_file  # torch is slow to import

    export_file(file, output, form, overwrite=overwrite)
