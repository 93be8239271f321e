"""Questions about RAKI that its papers leave open, each answered by one table and one picture.

    python benchmarks/raki_questions.py activation [--data FOLDER] [-o PICTURE]
    python benchmarks/raki_questions.py dynamic [-o PICTURE]
    python benchmarks/raki_questions.py propagation [-o PICTURE]

activation: which activation leaks least to the image centre, when all add the same noise. dynamic: which weights may
be carried from frame to frame. propagation: up to which noise the first order of the g-factor holds.
"""

from __future__ import annotations

import click
from raki_questions_activation import activation
from raki_questions_dynamic import dynamic
from raki_questions_propagation import propagation


@click.group()
def main() -> None:
    """Answer open questions about RAKI by numbers."""


for command in (activation, dynamic, propagation):
    main.add_command(command)

if __name__ == "__main__":
    main()
