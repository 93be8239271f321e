"""`kband simulate-scanner`: a scanner that owns all lines and measures those that it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipelines.commands.names import pipeline_names
from pipelines.commands.replay import address_of


@click.command("simulate-scanner")
@click.argument("scan", type=click.Path(path_type=Path), metavar="SCAN.h5")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="FOLDER/",
              help="Where images.h5, curve.csv and curve.png go.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace them if they exist.")
@click.option("--pipeline", "-p", default="active", shell_complete=pipeline_names,
              help="Name of an installed pipeline, or an XML file; one that has ActiveAcquisition.")  # fmt: skip
@click.option("--to", "address", callback=address_of, metavar="HOST:PORT",
              help="Send the scan to this MRD server, which knows FIRE; else it is reconstructed here.")  # fmt: skip
@click.option("--model", default="simulated_lines", help="The trained line evaluator.")
@click.option("--acs-lines", type=click.IntRange(8, 64), default=12, help="Central lines that each image begins with.")
@click.option("--lines", type=click.IntRange(0), default=0, help="Lines of an image at most; 0: all.")
@click.option("--target", type=click.FloatRange(0, 1), default=0.01,
              help="Stop at this NMSE, which 9 of 10 simulated images like it are below; 0: never.")  # fmt: skip
@click.option("--lookahead", type=click.IntRange(1, 16), default=1, help="Decisions are for so many lines ahead.")
@click.option("--deadline", type=click.FloatRange(0.1, 10000), default=100.0,
              help="Longest wait for a decision, ms; then the scanner goes on in its own order.")  # fmt: skip
def simulate_scanner(
    scan: Path, output: Path, overwrite: bool, pipeline: str, address: tuple[str, int] | None, model: str,
    acs_lines: int, lines: int, target: float, lookahead: int, deadline: float,
) -> None:  # fmt: skip
    """Measure SCAN, a fully sampled raw file, as a scanner that is told which line comes next.

    It sends the calibration lines, then what the pipeline asks for, until that says that the image is good enough.
    Where no decision comes in time it measures in an order of its own. Prints the decisions' latency; curve.csv and
    curve.png hold the error of the quick image, of which decisions are made, against the lines.
    """
    from gadgets.errors import PipelineError, ScanError
    from pipelines.files.finished_file import FileProblem, refuse_existing, writing
    from pipelines.scanner.active_run import Asked, run_active
    from pipelines.scanner.error_curve import draw_curve, error_curve, latencies, write_table
    from pipelines.scanner.owned_scan import OwnedScan
    from pipelines.scanner.scanner import Terms

    images, table, picture = (output / name for name in ("images.h5", "curve.csv", "curve.png"))
    properties: dict[str, Any] = {"model": model, "acs_lines": acs_lines, "lines": lines, "target": target,
                                  "lookahead": lookahead}  # fmt: skip
    problem = None
    try:
        for path in (images, table, picture):
            refuse_existing(path, overwrite, inputs=[scan])
        owned = OwnedScan.read(scan)
        with writing(output):
            output.mkdir(parents=True, exist_ok=True)
        parameters = {f"ActiveAcquisition.{name}": str(value) for name, value in properties.items()}
        parameters["AcquisitionBuffer.acs_lines"] = str(acs_lines)
        asked = Asked(pipeline, parameters, address)
        scanner, problem = run_active(owned, asked, Terms(acs_lines, lookahead, deadline / 1000), images)
        points = error_curve(scanner)
        write_table(table, points)
        draw_curve(picture, points, owned.encoding.encoded_matrix[1])
    except (FileProblem, PipelineError, ScanError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    for key in owned.images:
        own = [point for point in points if point.image == str(key)]
        if own:
            click.echo(f"{key}: {own[-1].lines} of {owned.encoding.encoded_matrix[1]} lines, NRMSE {own[-1].nrmse:.4f}")
    click.echo(latencies(scanner))
    click.echo(f"{images}\n{table}\n{picture}")
    if problem:
        raise click.ClickException(problem)
