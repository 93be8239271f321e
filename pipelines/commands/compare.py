"""`kband compare`: two image files side by side, with their difference."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A.h5")
@click.argument("second", type=click.Path(path_type=Path), metavar="B.h5")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT.png", help="The picture.")
@click.option("--as-stored", is_flag=True, help="Leave rows and columns as they are in the files.")
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists.")
def compare(first: Path, second: Path, output: Path, as_stored: bool, overwrite: bool) -> None:
    """Draw the images of A, those of B and their five-fold difference, and print how they agree.

    Images belong together that have the same counters: slice, repetition, contrast and so on. Each of A is multiplied
    by the one factor that fits B best. NRMSE and SSIM are of A against B. Maps of quantities are left out.

    Exits with 1 if an image of one file has none in the other, or one of another size.
    """
    from pipelines.files.finished_file import FileProblem, finished_file, refuse_existing, refuse_other_format
    from pipelines.files.mrd_file import read_images
    from pipelines.pictures.montage import Source, with_difference  # matplotlib is slow

    try:
        refuse_other_format(output, ".png")
        refuse_existing(output, overwrite, inputs=(first, second))
        sources = [Source(path.name, read_images(path)) for path in (first, second)]
        figure, agreements, alone = with_difference(*sources, as_stored=as_stored)
        with finished_file(output) as unfinished:
            figure.savefig(unfinished, format="png")
    except (FileProblem, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo("\n".join([*agreements, str(output)]))
    if alone:
        raise click.ClickException("; ".join(alone))
