"""`kband design-trajectory`: shots that are learned for images of a size, within what gradients can do."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("design-trajectory")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="FOLDER/",
              help="Where shots.csv, shots.seq and design.png go.")
@click.option("--overwrite", is_flag=True, help="Replace them if they exist.")
@click.option("--matrix", type=click.IntRange(16, 512), default=64, show_default=True, help="Pixels along x and y.")
@click.option("--fov-mm", type=click.FloatRange(10, 1000), default=230.0, show_default=True, help="Field of view, mm.")
@click.option("--shots", "n_shots", type=click.IntRange(1, 512), default=8, show_default=True, help="Shots an image.")
@click.option("--readout-ms", type=click.FloatRange(0.16, 100), default=1.92, show_default=True,
              help="How long each shot is read, ms; a multiple of 0.16.")
@click.option("--dwell-us", type=click.FloatRange(0.5, 100), default=4.0, show_default=True,
              help="Time of a sample, us; it divides the readout.")
@click.option("--gradient", type=float, default=40.0, show_default=True,
              help="Largest gradient, of the vector of both axes, mT/m; 95 % of it are used.")
@click.option("--slew", type=float, default=150.0, show_default=True,
              help="Largest slew rate, of the vector of both axes, T/m/s; 95 % of it are used.")
@click.option("--start", type=click.Choice(["spiral", "radial"]), default="spiral", show_default=True,
              help="What the design starts from.")
@click.option("--coils", "n_coils", type=click.IntRange(1, 64), default=6, show_default=True,
              help="Coils of the arrays it is learned with.")
@click.option("--noise", type=click.FloatRange(0, 1), default=0.01, show_default=True,
              help="SD of the complex noise of a sample of a coil, over the object's brightness.")
@click.option("--steps", "n_steps", type=click.IntRange(3), default=300, show_default=True, help="Steps of learning.")
@click.option("--flip-deg", type=click.FloatRange(0.1, 180), default=15.0, show_default=True,
              help="Flip angle of the sequence, degrees.")
@click.option("--slice-mm", type=click.FloatRange(0.5, 100), default=5.0, show_default=True,
              help="Slice thickness of the sequence, mm.")
@click.option("--tr-ms", type=click.FloatRange(0), default=0.0, show_default="the shortest",
              help="Repetition time of the sequence, ms.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of objects and noise.")
def design_trajectory(
    output: Path, overwrite: bool, matrix: int, fov_mm: float, n_shots: int, readout_ms: float, dwell_us: float,
    gradient: float, slew: float, start: str, n_coils: int, noise: float, n_steps: int, flip_deg: float,
    slice_mm: float, tr_ms: float, seed: int,
) -> None:  # fmt: skip
    """Learn a trajectory of several shots for CG-SENSE, within limits of gradient and slew rate.

    Shots are B-splines, learned from coarse to fine on simulated scans of random objects (BJORK). Prints the error on
    other random objects beside spokes and spirals of the same shots and readout. shots.csv holds places and times of
    the samples, as kband simulate --places reads it; shots.seq is a Pulseq sequence, if pypulseq is there.
    """
    import torch
    from tqdm import tqdm

    from kband_core.trajectory_design.comparison import judged, radial_start, spiral_start
    from kband_core.trajectory_design.gradient_limits import GradientLimits
    from kband_core.trajectory_design.learning import LEVELS, Task, learned
    from kband_core.trajectory_design.starts import Readout
    from pipelines.design.design_picture import draw_design
    from pipelines.design.pulseq_file import GradientEcho, has_pypulseq, places_in_pulseq, write_pulseq
    from pipelines.design.shots_file import write_shots
    from pipelines.files.finished_file import FileProblem, finished_file, refuse_existing, writing

    table, sequence, picture = (output / name for name in ("shots.csv", "shots.seq", "design.png"))
    try:
        for path in (table, sequence, picture):
            refuse_existing(path, overwrite)
        limits, level = GradientLimits(gradient=gradient, slew=slew), LEVELS - 1
        n_samples = round(readout_ms * 1000 / dwell_us)
        if abs(n_samples * dwell_us - readout_ms * 1000) > 1e-6:
            raise ValueError(f"samples of {dwell_us:g} us do not divide a readout of {readout_ms:g} ms")
        readout = Readout(n_samples=n_samples, dwell_us=dwell_us, pixel_mm=fov_mm / matrix)
        task = Task(n_shots=n_shots, matrix=matrix, readout=readout, limits=limits, n_coils=n_coils, noise=noise)
        with writing(output):
            output.mkdir(parents=True, exist_ok=True)
        starts = {"radial": radial_start(task), "spiral": spiral_start(task, seed)}
        steps = learned(task, starts[start], n_steps=n_steps, rng=torch.Generator().manual_seed(seed))
        with tqdm(steps, desc="learning", total=n_steps) as shown:
            for step in shown:
                shown.set_postfix_str(f"NRMSE {step.error:.3f}")
        write_shots(table, task.places(step.points, level), readout.times_us, readout.pixel_mm)
        if has_pypulseq():
            write_pulseq(sequence, task, step.points, GradientEcho(flip_deg=flip_deg, slice_mm=slice_mm, tr_ms=tr_ms))
            read_back = (places_in_pulseq(sequence, task) - task.places(step.points, level)).norm(dim=-1).max() / 0.5
        with finished_file(picture) as unfinished:
            draw_design(task, starts[start], step.points).savefig(unfinished, format="png", dpi=100)
    except (FileProblem, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"{'NRMSE, mean of other objects':<32} maps known  maps from the same shots")
    for row in judged(task, starts, step.points, seed):
        own = "" if row.with_own_maps is None else f"{row.with_own_maps:.4f}"
        click.echo(f"{row.name:<32} {row.error:<10.4f}  {own}".rstrip())
    strongest, steepest = task.raster(level).largest(step.points)
    click.echo(f"at most {strongest:.1f} mT/m of {gradient:g}, {steepest:.1f} T/m/s of {slew:g}")
    click.echo(f"{table}\n{picture}")
    if has_pypulseq():
        click.echo(f"{sequence}: read back within {float(read_back):.1e} of the largest k")
    else:
        click.echo("no shots.seq: pypulseq is missing; pip install kband[seq]", err=True)
