"""`kband prepare`: raw files in, planes to train on out, through the gadgets that serve the scanner."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from kband_core.plural import counted
from pipelines.commands.many_files import cluster_option, resume_option

if TYPE_CHECKING:
    from pipelines.jobs.job import Job, Outcome
    from pipelines.jobs.listener import Listener


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RAW.h5|FOLDER...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), metavar="PLANES.h5",
              help="The file of planes to write.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--subject-from", type=click.Choice(["header", "file"]), default="header", show_default=True,
              help="Whose scan it is, by the patient's ID or by the file's name; where there is no ID, by the name.")
@click.option("--middle", type=click.IntRange(1), help="Take only so many slices, from the middle of each file.")
@cluster_option
@resume_option
def prepare(
    inputs: tuple[Path, ...], output: Path, overwrite: bool, subject_from: Literal["header", "file"],
    middle: int | None, cluster: str | None, resume: bool,
) -> None:  # fmt: skip
    """Make planes to train on: k-space, what was acquired of it, and coil maps, slice by slice.

    RAW are MRD files or streams, sent through the gadgets that serve the scanner (prepare.xml), or files of fastMRI,
    M4Raw or SKM-TEA as published. Training and validation are split by subject, so every scan of a person must have
    the same one. The file holds a digest of the patient's ID, not the ID. Slices of nothing but zeros or noise, which
    have no coil maps, are left out. Of copies of a file, whatever their names and formats, one counts.

    Exits with 1 if any file failed; such a file adds no plane, the others are written all the same.
    """
    from kband_core.training.dataset import PlaneFile, PlaneWriter
    from pipelines.files.finished_file import HDF5, FileProblem, refuse_existing, refuse_other_format
    from pipelines.jobs.many import Tally, files_of, in_order, outcomes
    from pipelines.jobs.parts import parts_beside
    from pipelines.jobs.record import remembered

    files, made, tally, seen = files_of(inputs), _Made(), Tally(), {}
    work = partial(prepare_file, subject_from, middle)
    if resume:
        work = remembered(work, f"planes {subject_from} {middle}")
    try:
        refuse_other_format(output, *HDF5)
        refuse_existing(output, overwrite, inputs=files)
        with (
            parts_beside(output, files, kept=lambda: resume and tally.n_good < len(files)) as jobs,
            PlaneWriter(output) as writer,
            outcomes(work, jobs, cluster) as done,
        ):
            for job, outcome in in_order(done, jobs):
                if tally.add(job, outcome):
                    continue
                planes = PlaneFile(job.target)
                if (earlier := seen.setdefault(_content(planes), job.path)) != job.path:
                    click.echo(f"{job.path}: holds what {earlier} holds, which counts once")
                    continue
                of_file = _Made()
                for plane in planes:
                    writer.append(plane)
                    of_file.add(plane)
                    made.add(plane)
                if not resume:
                    job.target.unlink()
                n_empty, source = outcome.value["n_empty"], outcome.value["source"]
                left_out = f"; {n_empty} of nothing but noise left out" if n_empty else ""
                click.echo(f"{job.path}: {of_file}; {plane.protocol}{left_out}{f'; {source}' if source else ''}")
    except FileProblem as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{output}: cannot be written ({error})") from error
    if len(files) > 1:
        tally.summary(output)
    if made.n_planes:
        click.echo(f"{output}: {made}, {output.stat().st_size / 2**20:,.1f} MiB")
        if len(made.subjects) == 1:
            click.echo("only 1 subject: training needs another one to validate on")
    if tally.failures:
        raise SystemExit(1)


def prepare_file(
    subject_from: Literal["header", "file"], middle: int | None, job: Job, listener: Listener
) -> Outcome:
    """Write the planes of one file; the value tells how many were left out, since only noise is in them: no maps.
    And where its lines come from, if they were not just measured.

    What reading and gadgets raise is its problem, or that no plane came; then nothing is written.
    """
    from gadgets.errors import PipelineError, ScanError
    from pipelines.files.finished_file import FileProblem
    from pipelines.jobs.job import Outcome

    try:
        n_empty, source = _prepare_one(job.path, job.target, subject_from, middle)
        return Outcome(value={"n_empty": n_empty, "source": source})
    except (FileProblem, PipelineError, ScanError, ValueError) as problem:
        return Outcome(str(problem))


def _prepare_one(
    path: Path, part: Path, subject_from: Literal["header", "file"], middle: int | None
) -> tuple[int, str | None]:
    from kband_core.training.dataset import Plane, PlaneWriter
    from pipelines.planes.plane_source import open_planes

    n_empty = 0
    with open_planes(path, middle=middle) as source, PlaneWriter(part) as writer:
        subject = source.file_subject
        if source.patient and subject_from == "header":
            subject = hashlib.sha256(source.patient.encode()).hexdigest()[:12]
        for plane in source.planes:
            if not plane.csm.any():
                n_empty += 1
                continue
            where = f"{path.name}, contrast {plane.contrast}, repetition {plane.repetition}"
            what = plane.kspace, plane.mask, plane.csm
            band = plane.angle, source.band_acceleration
            writer.append(Plane(*what, subject, source.protocol, where, plane.slice, *band, plane.trajectory))
        if not len(writer):
            raise ValueError(f"0 planes came of it: there is nothing but {'noise' if n_empty else 'zeros'}")
    return n_empty, source.source


def _content(planes: Any) -> str:
    """Return a digest of what was measured and which images it is of: of copies, whatever their names, it is one."""
    digest = hashlib.blake2b()
    for plane in planes:
        digest.update(f"{plane.source.partition(', ')[2]}, slice {plane.slice}".encode())
        digest.update(plane.kspace.numpy().tobytes())
    return digest.hexdigest()


class _Made:
    """What has been made: numbers and ranges for one line."""

    def __init__(self) -> None:
        self.n_planes = 0
        self.subjects: set[str] = set()
        self.matrices: set[str] = set()
        self.accelerations: set[float] = set()

    def add(self, plane: Any) -> None:
        """Take one plane into account."""
        n_coils, *matrix = plane.csm.shape[-3:]
        self.n_planes += 1
        self.subjects.add(plane.subject)
        self.matrices.add(f"{' × '.join(map(str, matrix))} of {counted(n_coils, 'coil')}")
        self.accelerations.add(plane.acquired.acceleration)

    def __str__(self) -> str:
        lowest, highest = min(self.accelerations), max(self.accelerations)
        ranged = f"{lowest:.2f}" if f"{lowest:.2f}" == f"{highest:.2f}" else f"{lowest:.2f} to {highest:.2f}"
        subjects = f"subject {min(self.subjects)}" if len(self.subjects) == 1 else f"{len(self.subjects)} subjects"
        planes = counted(self.n_planes, "plane")
        matrices = " and ".join(sorted(self.matrices)) if len(self.matrices) < 4 else f"{len(self.matrices)} matrices"
        return f"{planes}, {subjects}, {matrices}, R {ranged}"
