"""Properties of a pipeline, as they are set on the command line."""

from __future__ import annotations

import re

import click


def parameters_of(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Read GADGET.PROPERTY=VALUE. Raises `BadParameter` for anything else."""
    for text in texts:
        if not re.match(r"[^.=]+\.[^.=]+=", text):
            raise click.BadParameter(f"'{text}' is no GADGET.PROPERTY=VALUE, such as SenseRecon.n_iterations=20")
    return dict(text.split("=", 1) for text in texts)
