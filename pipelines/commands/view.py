"""`kband view`: a picture of the images in an MRD file."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGES.h5...")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT.png",
              help="The picture; IMAGES.png beside the first file if not given.")
@click.option("--reference", type=click.Path(path_type=Path), metavar="SCAN.h5",
              help="A simulated scan: show its reference images and five-fold differences below the images.")
@click.option("--as-stored", is_flag=True, help="Leave rows and columns as they are in the file.")
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists; else that is asked on a terminal.")
def view(
    files: tuple[Path, ...], output: Path | None, reference: Path | None, as_stored: bool, overwrite: bool
) -> None:
    """Draw the images of MRD files into a PNG.

    Images lie as a radiologist reads them: the patient's left at the right, the front or the head above; sagittal ones
    with the front at the left. They are in the order of slices, series by series. Each panel is windowed by the image's
    own WindowCenter and WindowWidth, or else from the smallest value of its series, all slices together, to their
    99.5th percentile. Above it stand method, counters, the slice's distance from the isocentre and the protocol;
    letters name the patient's sides, the bar is in mm, and what is wrong with an image is red. At most 64 panels are
    drawn.

    Of several files, the same image stands in one row, all in one window.

    With --reference, NRMSE and SSIM are those of the magnitudes, after one least-squares scale factor per image.
    """
    from kband_core.plural import counted
    from pipelines.files.file_header import protocol_name
    from pipelines.files.finished_file import FileProblem, finished_file, refuse_existing
    from pipelines.files.mrd_file import read_images
    from pipelines.files.mrd_stream import open_raw
    from pipelines.pictures.montage import Source, beside_references, montage, side_by_side  # matplotlib is slow

    output = output or files[0].with_suffix(".png")
    if output.suffix.lower() != ".png":
        raise click.ClickException(f"{output}: the picture is a PNG; give it a name that ends in .png")
    if output.exists() and not overwrite and sys.stdin.isatty():
        overwrite = click.confirm(f"{output} exists; replace it?", abort=True)
    try:
        refuse_existing(output, overwrite, inputs=files)
        sources = [Source(path.name, read_images(path), protocol_name(path)) for path in files]
        if reference is not None:
            with open_raw(reference) as scan:
                references = scan.reference()
            if not references:
                raise click.ClickException(f"{reference}: no reference images; only simulated scans have them")
            figure = beside_references(sources, references, reference.name, as_stored=as_stored)
        elif len(sources) == 1:
            figure = montage(*sources, as_stored=as_stored)
        else:
            figure = side_by_side(sources, as_stored=as_stored)
        with finished_file(output) as unfinished:
            figure.savefig(unfinished, format="png")
    except (FileProblem, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    n_images = sum(len(source.images) for source in sources)
    click.echo(f"{output}: {counted(n_images, 'image')}")
