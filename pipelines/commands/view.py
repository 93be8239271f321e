"""`kband view`: a picture of the images in an MRD file."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("images", type=click.Path(path_type=Path), metavar="IMAGES.h5")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT.png",
              help="The picture; IMAGES.png beside the file if not given.")
@click.option("--reference", type=click.Path(path_type=Path), metavar="SCAN.h5",
              help="A simulated scan: show its reference images and five-fold differences below the images.")
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists; else that is asked on a terminal.")
def view(images: Path, output: Path | None, reference: Path | None, overwrite: bool) -> None:
    """Draw the images of an MRD file into a PNG.

    Images are in the order of slices, series by series. Each panel is windowed by the image's own WindowCenter and
    WindowWidth, or else from the smallest value of its series, all slices together, to their 99.5th percentile.
    Letters name the patient's sides, the bar is in mm, and what is wrong with an image is red. At most 64 panels are
    drawn.

    With --reference, NRMSE and SSIM are those of the magnitudes, after one least-squares scale factor per image.
    """
    from pipelines.files.finished_file import FileProblem, finished_file, refuse_existing
    from pipelines.files.mrd_file import read_images
    from pipelines.files.mrd_stream import open_raw
    from pipelines.pictures.montage import beside_references, montage  # matplotlib is slow to import

    output = output or images.with_suffix(".png")
    if output.suffix.lower() != ".png":
        raise click.ClickException(f"{output}: the picture is a PNG; give it a name that ends in .png")
    if output.exists() and not overwrite and sys.stdin.isatty():
        overwrite = click.confirm(f"{output} exists; replace it?", abort=True)
    try:
        refuse_existing(output, overwrite, inputs=[images])
        shown = read_images(images)
        if reference is None:
            figure = montage(shown, images.name)
        else:
            with open_raw(reference) as scan:
                references = scan.reference()
            if not references:
                raise click.ClickException(f"{reference}: no reference images; only simulated scans have them")
            figure = beside_references(shown, references, f"{images.name} against {reference.name}")
        with finished_file(output) as unfinished:
            figure.savefig(unfinished, format="png")
    except (FileProblem, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"{output}: {len(shown)} images" if len(shown) > 1 else f"{output}: 1 image")
