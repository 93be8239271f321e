"""`kband doctor`: tell what is installed, and what is amiss."""

from __future__ import annotations

import click

from pipelines.installation.checkup import check_all


@click.command()
@click.option("--gadgets", is_flag=True, help="Instead, list every gadget and its properties as a Markdown table.")
def doctor(gadgets: bool) -> None:
    """Look at versions, device, names, pipelines and Gadgetron's Python; say what is amiss and what to do about it.

    A small simulated scan goes through each installed pipeline. Exits with 1 if there is any error.
    """
    if gadgets:
        from pipelines.installation import gadget_table  # a doctor must not die of a `gadgets` that is not ours

        click.echo("\n\n".join(filter(None, (gadget_table.gadget_table(), gadget_table.foreign_table()))))
        return
    n_errors = 0
    for check in check_all():
        click.echo(f"{check.level:<8}{check.sentence}")
        n_errors += check.level == "error"
    if n_errors:
        raise SystemExit(1)
