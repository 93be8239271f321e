"""K-band for spirals: adjacent interleaves against all of them, to train the same network."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click
import torch
from measure import print_conditions, print_table
from radial_supervisions import Reconstruct, Way, by_network, cg_sense, figures, gridded, simulated, trained
from tqdm import tqdm

SCANS = {"matrix": [48, 48], "coils": [4, 4], "trajectory": "spiral"}
DRAWN = {"spoke_acceleration": [2, 4], "order": "mixed"}
WAYS = (
    Way("supervised by all interleaves", "spokes"),
    Way("k-band, 6 adjacent interleaves", "sectors"),
)
WEIGHTS, ITERATIONS = (0.001, 0.01, 0.1, 0.3), (15, 30, 60)  # of CG-SENSE


@click.command(context_settings={"show_default": True})
@click.option("--steps", default=200, help="Training steps of each.")
@click.option("--batch", default=2, help="Examples of a step.")
@click.option("--scans", default=100, help="Scans to train on; one sector each, drawn once.")
@click.option("--tests", default=24, help="Simulated scans held out.")
@click.option("--seed", default=0, help="Of scans, interleaves, sectors and weights.")
@click.option("--model", "models", multiple=True, default=["simulated_radial"], help="Trained models to set beside.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder of what is trained: an "
              "interrupted run goes on from there.")
def main(
    steps: int, batch: int, scans: int, tests: int, seed: int, models: Sequence[str], keep: Path | None
) -> None:
    """Print errors on simulated spiral scans that were held out."""
    print_conditions(
        f"{steps} steps of {batch}, seed {seed}, Adam 1e-3 (one cycle), ℓ1; {scans} simulated spiral scans of 48²,\n"
        f"4 coils, textured, noise 0.001 to 0.08; {tests} held out, both at 6 to 12 of 24 interleaves.\n"
        "NRMSE and SSIM of magnitudes after one factor; r>0.5: error of k-space beyond half its radius. CG-SENSE at\n"
        "its best λ and number of iterations column by column."
    )
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep) as folder:
        os.environ["KBAND_MODELS"] = str(folder)
        held_out = simulated(tests, SCANS, DRAWN, seed=seed)

        def row(reconstruct: Reconstruct) -> torch.Tensor:
            return figures(reconstruct, held_out, outer=True)

        rows = []
        for number, way in enumerate(tqdm(WAYS, unit="training")):
            name = f"spiral_{number}"
            seconds = trained(
                way, name, Path(folder), {**SCANS, "n_scans": scans}, DRAWN, steps=steps, batch=batch, seed=seed
            )
            rows.append((way.name, row(by_network(name)), f"{seconds:.0f}"))
        rows += [(name, row(by_network(name)), "") for name in models]
        rows.append(("gridding, with maps", row(lambda scan: gridded(scan.kspace, scan.trajectory, scan.csm)), ""))
        senses = torch.stack([row(cg_sense(weight, n)) for weight in WEIGHTS for n in ITERATIONS])
        error, ssim, outer = senses.unbind(-1)
        rows.append(("CG-SENSE", torch.stack((error.min(), ssim.max(), outer.min())), ""))
        print_table(
            ("", "NRMSE", "SSIM", "r>0.5", "s"),
            [(name, *(f"{value:.3f}" for value in found), seconds) for name, found, seconds in rows],
        )


if __name__ == "__main__":
    main()
