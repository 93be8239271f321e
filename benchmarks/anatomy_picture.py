"""What networks are trained on where a recipe says `objects: anatomy`: 24 draws, before coils, phase and noise."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from matplotlib.figure import Figure

from kband_core.training.simulation.random_objects import random_object

N_ROWS, N_COLUMNS = 4, 6
SIDES = (96, 160)  # acquired pixels, as in simulated_small
PICTURE = Path(__file__).parent / "pictures" / "anatomy.jpg"
WHITE = 0.995  # quantile that is white


@click.command(context_settings={"show_default": True})
@click.option("--seed", default=0, help="Of the first draw.")
@click.option("-o", "--output", default=PICTURE, type=click.Path(path_type=Path))
def main(seed: int, output: Path) -> None:
    """Draw them as they come."""
    figure = Figure(figsize=(2 * N_COLUMNS, 2 * N_ROWS), facecolor="black", layout="constrained")
    for number, axes in enumerate(figure.subplots(N_ROWS, N_COLUMNS).flat):
        rng = torch.Generator().manual_seed(seed + number)
        shape = tuple(torch.randint(SIDES[0], SIDES[1] + 1, (2,), generator=rng).tolist())
        image = random_object(shape, rng, objects="anatomy")
        axes.imshow(image, cmap="gray", vmin=0, vmax=float(image.flatten().quantile(WHITE)))
        axes.axis("off")
    figure.savefig(output, dpi=80, pil_kwargs={"quality": 80})
    click.echo(f"{output}: {N_ROWS * N_COLUMNS} draws, seed {seed}")


if __name__ == "__main__":
    main()
