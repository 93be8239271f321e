"""`kband check`: find what is wrong with a pipeline before a patient is scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kband_core.plural import plural
from pipelines.commands.names import pipeline_names

if TYPE_CHECKING:
    from pipelines.chain.lint import Finding


@click.command()
@click.argument("pipelines", nargs=-1, required=True, metavar="PIPELINE.xml...", shell_complete=pipeline_names)
def check(pipelines: tuple[str, ...]) -> None:
    """Find what is wrong with pipelines, above all what Gadgetron says nothing about.

    Each PIPELINE is an XML file or the name of an installed pipeline. An error means that the chain cannot work, here
    or in Gadgetron; a warning, that it works otherwise than it reads. Exits with 1 if there is any error.
    """
    counts = {"error": 0, "warning": 0}
    for pipeline in pipelines:
        for finding in _findings(pipeline):
            click.echo(f"{pipeline}: {finding.severity}: {finding.sentence}")
            counts[finding.severity] += 1
    click.echo(", ".join(f"{n} {plural(n, word)}" for word, n in {"pipeline": len(pipelines), **counts}.items()))
    if counts["error"]:
        raise SystemExit(1)


def _findings(pipeline: str) -> list[Finding]:
    from gadgets.errors import PipelineError
    from pipelines.chain.lint import Finding, lint
    from pipelines.chain.pipeline import load_xml

    try:
        return lint(load_xml(pipeline))
    except PipelineError as problem:
        return [Finding("error", str(problem))]
