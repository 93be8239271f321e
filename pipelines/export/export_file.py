"""A file's images, or its raw lines, in another format."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import h5py
from tqdm import tqdm

from gadgets.errors import PipelineError, ScanError
from kband_core.plural import counted
from pipelines.export.formats import image_sink, refuse_name
from pipelines.export.kspace_folder import ENDINGS, write_kspace
from pipelines.files.file_header import image_file_header
from pipelines.files.finished_file import FileProblem
from pipelines.files.mrd_file import read_images
from pipelines.files.mrd_stream import UpToDamage, open_raw


def export_file(path: Path, target: Path, form: str, *, overwrite: bool) -> None:
    """Export as `kband export` is told. Raises `ClickException`."""
    try:
        refuse_name(target, form)
        header = image_file_header(path) if h5py.is_hdf5(path) else None
        if header is None:
            said, problem = _lines(path, target, form, overwrite)
        else:
            said, problem = _images(path, target, header, form, overwrite), None
    except (FileProblem, PipelineError, ScanError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path}: {said}: {target}")
    if problem:
        raise click.ClickException(problem)


def _images(path: Path, target: Path, header: str, form: str, overwrite: bool) -> str:
    images = read_images(path)
    if not header:
        raise FileProblem(f"{path}: has no MRD header, and {form} images need its study and protocol")
    made_by = hashlib.sha256("".join(image.attribute_string for image in images).encode()).hexdigest()
    with image_sink(target, header, form, made_by=made_by, overwrite=overwrite) as sink:
        for image in tqdm(images, desc=path.name, unit="image", delay=0.5):
            sink.append(image)
    return counted(len(images), "image")


def _lines(path: Path, target: Path, form: str, overwrite: bool) -> tuple[str, str | None]:
    """Say what was written, and what is wrong with the file."""
    with open_raw(path) as raw:
        if form not in ENDINGS:
            raise FileProblem(f"{path}: raw lines are no {form} images; reconstruct them first with kband replay, or "
                              f"export their k-space as {' or '.join(ENDINGS)}")  # fmt: skip
        lines = UpToDamage(raw)
        watched = tqdm(lines, total=len(raw), desc=path.name, unit="line", delay=0.5)
        n_lines = write_kspace(target, raw.header_xml, watched, form, overwrite=overwrite)
    return counted(n_lines, "line"), lines.damage
