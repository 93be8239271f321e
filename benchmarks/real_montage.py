"""Draw every real Cartesian and EPI scan through every pipeline that fits, a row for each scan."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import ismrmrd
import matplotlib.pyplot as plt
import numpy as np
from measure import data_option, print_conditions, print_table
from real_scans import may_hold_lines

from gadgets.errors import ScanError
from gadgets.scan import Scan
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import Pipeline, installed_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.files.mrd_file import RawFile

FITTING = {
    "cartesian": ("sense", "grappa", "raki", "kband"),
    "epi": ("epi_sense", "epi_grappa", "epi_kband"),
}
JOINED = "phantom_halfecho_r2_2ch"  # two half echoes of one image


@click.command()
@data_option
@click.option("-o", "--output", default="pictures/real_scans.jpg", type=click.Path(path_type=Path))
def main(data: Path, output: Path) -> None:
    """Show the first image of each; exit with 1 if a scan fails or an image is incomplete; a fallback is told."""
    logging.basicConfig(level=logging.ERROR)
    print_conditions("the first image of each scan is drawn, as stored")
    rows, drawn = [], []
    for path in filter(may_hold_lines, sorted(data.glob("*.h5"))):
        with RawFile(path) as raw:
            scan = Scan.from_xml(raw.header_xml)
            for pipeline in FITTING.get(scan.encodings[0].trajectory, ()):
                images, problem = _images(scan, raw, pipeline, join=path.stem == JOINED)
                shown = [image for image in images if "kband_quantity" not in image.meta]
                flaws = {image.meta["kband_fallback"] for image in shown} - {"no"}
                complete = all(image.meta["kband_complete"] == "yes" for image in shown)
                verdict = problem or ("complete" if shown and complete else "INCOMPLETE")
                verdict += "".join(f", fallback ({flaw.split(': ')[1]})" for flaw in flaws)
                label = shown[0].meta["kband_method"].split(",")[0] if shown else "-"
                rows.append((path.stem, pipeline, label, f"{len(shown)}", verdict))
                drawn.append((path.stem, pipeline, label, shown[0] if shown else None))
    print_table(("file", "pipeline", "made by", "images", "verdict"), rows)
    _draw(drawn, output)
    if bad := [row for row in rows if not row[-1].startswith("complete")]:
        raise click.ClickException(f"{len(bad)} of {len(rows)} are not as promised")


def _images(scan: Scan, raw: RawFile, pipeline: str, *, join: bool) -> tuple[list[ismrmrd.Image], str | None]:
    chain = read_chain(installed_xml(pipeline))
    if join:
        chain = with_properties(chain, {"AcquisitionBuffer.join_echoes": "true"})
    images: list[ismrmrd.Image] = []
    try:
        for image in run(Pipeline.from_chain(chain), scan, iter(raw), Verdict()):
            images.append(image)
    except ScanError as error:
        return images, str(error)
    return images, None


def _draw(drawn: list[tuple[str, str, str, ismrmrd.Image | None]], output: Path) -> None:
    files = list(dict.fromkeys(name for name, *_ in drawn))
    columns = max(len(pipelines) for pipelines in FITTING.values())
    figure, axes = plt.subplots(len(files), columns, figsize=(2 * columns, 2.1 * len(files)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for name, pipeline, label, image in drawn:
        at = FITTING["epi" if pipeline.startswith("epi") else "cartesian"].index(pipeline)
        axis = axes[files.index(name), at]
        axis.set_title(f"{name}\n{pipeline}: {label}", fontsize=5)
        if image is not None:
            pixels = np.abs(image.data[0, image.data.shape[1] // 2].astype(np.float32))
            axis.imshow(pixels, cmap="gray", vmin=0, vmax=np.quantile(pixels, 0.995))
    figure.tight_layout(pad=0.3)
    figure.savefig(output, dpi=90, pil_kwargs={"quality": 70})
    click.echo(f"{output}: {len(drawn)} images of {len(files)} files")


if __name__ == "__main__":
    main()
