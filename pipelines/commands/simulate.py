"""`kband simulate`: a raw data set of a head phantom, as a scanner would have sent it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kband_core.plural import counted, plural

TRAIN = "n_shots", "ramp_sampling", "echo_shift", "echo_phase", "echo_drift", "n_navigators", "reference"


def _two_numbers(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise click.BadParameter(f"'{text}', two numbers expected, such as 0.15,0.12") from None
    return x, y


def _numbers(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError:
        raise click.BadParameter(f"'{text}', numbers expected, such as 1.2,2.4,3.6,4.8") from None


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="SCAN.h5",
              help="The MRD file to write.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--matrix", type=click.IntRange(16, 4096), default=256, show_default=True,
              help="Pixels along x and y; the field of view is 230 mm.")
@click.option("--coils", "n_coils", type=click.IntRange(1, 256), default=8, show_default=True,
              help="Receive coils in a ring around the head.")
@click.option("--slices", "n_slices", type=click.IntRange(1, 47), default=3, show_default=True,
              help="Slices, 5 mm apart, of a 2-D scan.")
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
@click.option("--partial-echo", type=float, default=1.0, show_default=True,
              help="Fraction of the samples of each line that are read, above 0.5; the first ones are left out.")
@click.option("--local-phase", type=float, default=0.0, show_default=True, metavar="RADIANS",
              help="How far the phases of neighbouring tissues differ: where they do, nothing fills partial Fourier.")
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
@click.option("--trajectory", type=click.Choice(["cartesian", "epi", "radial", "golden", "spiral", "stack"]),
              default="cartesian", show_default=True,
              help="Where k-space is sampled; epi: lines are read by trains of echoes, every second one reversed, and "
                   "calibration is separate; radial, golden, spiral: none is left out; stack: of spokes, "
                   "in each of --partitions.")
@click.option("--shots", "n_shots", type=click.IntRange(1, 65535), show_default="1, others 64",
              help="Trains that share the lines of a slice (EPI); spokes or interleaves of an image.")
@click.option("--places", type=click.Path(path_type=Path), metavar="SHOTS.csv|NAME",
              help="Sample where this table says, as kband design-trajectory writes it, or one by its name, such as "
                   "designed_64x8, which ships; instead of a --trajectory.")
@click.option("--delay", metavar="X,Y", default="0,0", show_default=True,
              callback=lambda context, option, text: _two_numbers(text),
              help="Samples by which the gradients along x and y come late; spokes do not tell (not spiral).")
@click.option("--ramp-sampling/--no-ramp-sampling", default=None, help="Sample on the gradient's ramps as well (EPI).")
@click.option("--echo-shift", type=float, help="Steps along kx between echoes of both ways (EPI).")
@click.option("--echo-phase", type=float, help="Radians between echoes of both ways (EPI).")
@click.option("--echo-drift", type=float, help="Radians from one echo to the next (EPI).")
@click.option("--navigators", "n_navigators", type=click.IntRange(0), help="Navigators that open each train (EPI).")
@click.option("--reference", type=click.Choice(["epi", "flash"]), help="How calibration lines are read (EPI).")
@click.option("--partitions", "n_partitions", type=click.IntRange(2, 1024), default=None,
              help="Make it one 3-D scan of so many partitions, which hold the whole head; with two rings of coils.")
@click.option("--partition-acceleration", type=click.IntRange(1), default=1, show_default=True,
              help="Every which partition of a row is acquired.")
@click.option("--caipi-shift", type=click.IntRange(0), default=0, show_default=True,
              help="Partitions by which the pattern moves from one acquired row to the next (CAIPIRINHA).")
@click.option("--elliptical", is_flag=True, help="Leave out the corners of (ky, kz).")
@click.option("--poisson", is_flag=True, help="Random lines of (ky, kz), denser in the centre, instead of a lattice.")
@click.option("--multiband", type=click.IntRange(2, 16), default=None,
              help="Excite so many slices at once; single-band lines of each come first. Coils see all alike.")
@click.option("--fov-shift", type=click.IntRange(0), default=None, show_default="as many as slices at once",
              help="Blips shift each of these slices by one part in so many of the field of view; 0: no blips.")
@click.option("--echoes", "times_ms", metavar="MS,MS,...", callback=lambda context, option, text: _numbers(text),
              help="Echo times: a belly of water and fat in place of the head, with its true PDFF, R2* and B0 as "
                   "references.")
@click.option("--field", "field_t", type=float, default=3.0, show_default=True, help="Tesla, of --echoes.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
              help="Seed of the noise: the same options and seed give the same scan.")
def simulate(
    output: Path, overwrite: bool, trajectory: str, n_partitions: int | None, partition_acceleration: int,
    caipi_shift: int, elliptical: bool, poisson: bool, multiband: int | None, fov_shift: int | None,
    times_ms: tuple[float, ...] | None, field_t: float, places: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Write a raw data set of a simulated head scan as an MRD file.

    The head is made of ellipses and its k-space is exact; an axial scan, Cartesian (2-D or 3-D), by echo trains,
    radial or spiral, with noise that is correlated between coils. The file also holds the noise-free images that a
    perfect scan would give, for kband view --reference.
    """
    from kband_core.measured_shots import find_table
    from pipelines.design.shots_file import read_shots
    from pipelines.files.finished_file import HDF5, FileProblem, refuse_existing, refuse_other_format
    from pipelines.files.mrd_file import write_raw
    from pipelines.simulation.epi_protocol import EchoTrain
    from pipelines.simulation.simulated_echoes import Echoes, simulate_echoes
    from pipelines.simulation.simulated_epi import simulate_epi
    from pipelines.simulation.simulated_multiband import Excitation, simulate_multiband
    from pipelines.simulation.simulated_protocol import FOV_MM, Protocol
    from pipelines.simulation.simulated_scan import simulate_scan
    from pipelines.simulation.slab import Slab

    try:
        refuse_other_format(output, *HDF5)
        refuse_existing(output, overwrite)
        of_trains = {name: value for name in TRAIN if (value := options.pop(name)) is not None}
        kz_ky = (partition_acceleration, caipi_shift, elliptical, poisson)
        if n_partitions is None and kz_ky != (1, 0, False, False):
            raise ValueError("a pattern in (ky, kz) needs --partitions")
        if multiband is None and fov_shift is not None:
            raise ValueError("a shift of slices that are excited at once needs --multiband")
        if multiband is not None and trajectory != "cartesian":
            raise ValueError(f"--multiband and --trajectory {trajectory}: simulated of Cartesian lines only")
        if times_ms and (trajectory == "epi" or multiband is not None):
            raise ValueError("--echoes: simulated of single bands, Cartesian, radial or spiral")
        slab = None if n_partitions is None else Slab(n_partitions, *kz_ky)
        options["n_slices"] = 1 if slab else options["n_slices"]
        if places is not None:
            if trajectory != "cartesian" or "n_shots" in of_trains:
                raise ValueError("--places tells trajectory and shots; leave out --trajectory and --shots")
            table = places if places.is_file() else find_table(str(places))
            shots = read_shots(table, FOV_MM / options["matrix"])
            trajectory, of_trains["n_shots"], options["places"] = "other", len(shots), shots
        if trajectory not in ("cartesian", "epi"):
            options |= {"trajectory": trajectory, "n_shots": of_trains.pop("n_shots", Protocol.n_shots)}
        if trajectory == "epi":
            if click.get_current_context().get_parameter_source("calibration") is ParameterSource.DEFAULT:
                options["calibration"] = "separate"
            made = simulate_epi(Protocol(**options, slab=slab), EchoTrain(**of_trains), progress=True)
        elif of_trains:
            raise ValueError(f"{', '.join(of_trains)}: only of --trajectory epi")
        elif times_ms:
            made = simulate_echoes(Protocol(**options, slab=slab), Echoes(times_ms, field_t), progress=True)
        elif multiband is not None:
            excitation = Excitation(multiband, multiband if fov_shift is None else fov_shift)
            made = simulate_multiband(Protocol(**options, slab=slab), excitation, progress=True)
        else:
            made = simulate_scan(Protocol(**options, slab=slab), progress=True)
        header_xml, acquisitions, reference = made
        write_raw(output, header_xml, acquisitions, reference=reference, overwrite=overwrite)
    except (FileProblem, ValueError) as problem:
        raise click.ClickException(str(problem)) from problem
    n_lines, n_coils = len(acquisitions), options['n_coils']
    size = output.stat().st_size / 2**20
    click.echo(f"{output}: {n_lines:,} {plural(n_lines, 'line')} of {counted(n_coils, 'coil')}, {size:,.1f} MiB")
