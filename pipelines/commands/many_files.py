"""Options of the commands that take many files: where their jobs run, and whether finished ones are made again."""

from __future__ import annotations

import re

import click


def _cluster(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is None or text == "dask" or re.fullmatch(r"local:[1-9]\d{0,2}|(tcp|tls)://[^/\s]+:\d{1,5}", text):
        return text
    raise click.BadParameter(f"'{text}' is no cluster; expected local:N, tcp://HOST:PORT, tls://HOST:PORT or dask")


cluster_option = click.option(
    "--cluster", callback=_cluster, metavar="local:N|tcp://HOST:PORT|dask",
    help="One job a file: by N processes here, by the workers of a dask scheduler, or of that of dask's configuration.",
)  # fmt: skip
resume_option = click.option(
    "--resume", is_flag=True,
    help="Leave out files whose result is there, made of the same; remember what is finished now.",
)  # fmt: skip
