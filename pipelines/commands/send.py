"""`kband send`: DICOM images to an archive."""

from __future__ import annotations

import re
from pathlib import Path

import click


def archive_of(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, str, int] | None:
    """Read TITLE@HOST:PORT."""
    if text is None:
        return None
    found = re.fullmatch(r"([^@]{1,16})@(.+):(\d+)", text)
    if not found or not 0 < int(found[3]) < 65536:
        raise click.BadParameter(f"'{text}' is no TITLE@HOST:PORT, such as PACS@archive.site:104")
    return found[1], found[2].strip("[]"), int(found[3])


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="FOLDER...")
@click.option("--to", "archive", required=True, callback=archive_of, metavar="TITLE@HOST:PORT",
              help="Application entity title and address of the archive.")  # fmt: skip
@click.option("--tries", type=click.IntRange(1, 1000), default=5, help="How often a file is offered.")
@click.option("--pause", type=click.FloatRange(0, 3600), default=10.0, help="Between two tries, s.")
def send(folders: tuple[Path, ...], archive: tuple[str, str, int], tries: int, pause: float) -> None:
    """Send the DICOM files of FOLDERs to an archive (PACS) by C-STORE, as KBAND.

    What the archive does not take is offered again. The files stay; sending them twice does no harm.

    Exits with 1 if the archive has not taken all.
    """
    from kband_core.plural import counted
    from pipelines.export.formats import require_packages
    from pipelines.files.finished_file import FileProblem

    try:
        require_packages("send")
        from pipelines.export.dicom_send import Archive, send  # pydicom is an extra

        n_files = send(folders, Archive(*archive), tries, pause)
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"{Archive(*archive)} has {counted(n_files, 'file')}")
