"""Networks on real scans from which lines are taken away, raw file to image, against their peers."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import click
from fine_detail import contrast_error, outer_error
from measure import data_option, fitted, print_conditions, print_table
from peers import require_bart
from thinned_brains import Chains, Images, n_lines_of, undersampling_of
from torch import Tensor

from gadgets.recon.kband_recon import KBandRecon
from kband_core.metrics import nmse, psnr, ssim
from kband_core.plural import counted
from kband_core.self_ensemble import GUISES
from pipelines.evaluation.evaluation import Judged
from pipelines.pictures.error_maps import error_maps

SCANS = {
    "t1": "brain_t1_8ch", "flash": "brain_flash_16ch", "gre": "head_gre_32ch_4slices", "prescan": "brain_prescan_16ch",
    "ball": "phantom_flash_16ch", "flash body coil": "brain_flash_bodycoil_2ch", "se": "brain_se_2avg_noise_2ch",
    "ball body coil": "phantom_flash_bodycoil_2ch", "bottles": "phantom_gre_2ch_os2",
}  # fmt: skip
PROTOCOLS = [(sampling, acceleration) for sampling in ("lines", "equispaced") for acceleration in (2, 3, 4, 6)]
PICTURED = (("lines", 4), ("equispaced", 4))
AIM = 1.5  # dB of PSNR over the best peer
PEERS = ("SENSE", "SENSE, best λ", "GRAPPA", "wavelets")
BETTER = {"psnr": max, "ssim": max, "outer": min, "contrast": min}


@dataclass(frozen=True)
class Row:
    """What came of one scan under one protocol: figures by method, means of slices and draws; why models fell back."""

    scan: str
    protocol: tuple[str, int]
    label: str  # with matrix, and acceleration with ACS lines
    figures: dict[str, dict[str, float]]
    fallbacks: dict[str, str]

    @property
    def name(self) -> str:
        """Scan and protocol."""
        return "{}, {} R={}".format(self.scan, *self.protocol)

    def best(self, figure: str) -> float:
        """What the best of the peers reaches."""
        return BETTER[figure](self.figures[peer][figure] for peer in PEERS if peer in self.figures)

    def lead(self, model: str) -> float | None:
        """PSNR of a model over that of the best peer; None where it fell back."""
        return None if model in self.fallbacks else self.figures[model]["psnr"] - self.best("psnr")


@click.command(context_settings={"show_default": True})
@data_option
@click.option("--model", "models", multiple=True, default=[KBandRecon().model], help="Of the registry; or several.")
@click.option("--denoising", "shares", multiple=True, default=[1.0], show_default=True,
              help="Share of the noise that networks are told; or several.")
@click.option("--self-ensemble", "ensembles", multiple=True, type=click.IntRange(1, 1 + len(GUISES)),
              default=[1], show_default=True, help="Guises of a scan whose images networks average; or several.")
@click.option("--scan", "scans", multiple=True, type=click.Choice(list(SCANS)), default=list(SCANS), show_default="all",
              help="Only this one; or several.")
@click.option("--seeds", default=1, help="Draws of the lines, from 0 on; figures are their means.")
@click.option("--unwhitened", is_flag=True, help="Leave CoilWhitening out, to see what it is good for.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder of the peers' images, made only once.")
@click.option("-o", "--output", default="kband_brains.png", type=click.Path(path_type=Path), help="The picture.")
def main(
    data: Path, models: tuple[str, ...], shares: tuple[float, ...], ensembles: tuple[int, ...],
    scans: tuple[str, ...], seeds: int, unwhitened: bool, keep: Path | None,
    output: Path,
) -> None:  # fmt: skip
    """Exit with 1 if a network is behind SENSE, GRAPPA or the wavelets in PSNR or SSIM anywhere."""
    require_bart()
    networks = {
        _name(model, share, ensemble): {
            "KBandRecon.model": model, "KBandRecon.denoising": str(share), "KBandRecon.self_ensemble": str(ensemble),
        }
        for model, share, ensemble in itertools.product(models, shares, ensembles)
    }  # fmt: skip
    logging.basicConfig(level=logging.ERROR)
    print_conditions(
        f"24 ACS lines, 16 where hardly any others would be left; {counted(seeds, 'draw')}; all slices, 4 of gre:\n"
        f"means. Coils {'not ' * unwhitened}whitened by calibration lines. Networks, SENSE, GRAPPA: raw file through\n"
        "pipelines kband, sense and grappa to the pixels that a scanner would get. Wavelets, and SENSE at its best\n"
        "λ: bart pics, 100 and 30 iterations, on the same compressed data, maps and shading, at the λ of the least\n"
        "NMSE of each slice. Magnitudes after one least-squares factor, where maps of all lines are certain, air\n"
        "apart; reference: all lines through the same chain. Outer: NMSE of k-space beyond half its radius.\n"
        "Contrast: error of the local standard deviation, 5 × 5 pixels."
    )
    chains, rows, pictured = Chains(unwhitened, keep), [], list[Judged]()
    for scan in scans:
        path = data / f"{SCANS[scan]}.h5"
        for protocol in PROTOCOLS:
            undersampling = undersampling_of(n_lines_of(path), *protocol)
            if undersampling is None:
                continue
            drawn = [chains.images(path, undersampling, seed, networks) for seed in range(seeds)]
            rows.append(_row(scan, protocol, drawn))
            if protocol in PICTURED and len(rows[-1].fallbacks) < len(networks):
                pictured += _pictured(rows[-1].label, drawn[0])
            click.echo(rows[-1].label, err=True)
    _print_rows(rows, list(networks))
    for model in networks:
        _print_means(rows, model)
    error_maps(pictured).savefig(output, format="png")
    click.echo(f"{output}: images, sampling and errors")
    behind = [sentence for model in networks for row in rows for sentence in _behind(row, model)]
    for sentence in behind:
        click.echo(sentence)
    if behind:
        raise SystemExit(1)


def _name(model: str, share: float, ensemble: int) -> str:
    """What a network is called in tables: told which share of the noise, and of how many guises, unless all of one."""
    return model + (f" {share:g}" if share != 1 else "") + (f" ×{ensemble}" if ensemble != 1 else "")


def _row(scan: str, protocol: tuple[str, int], drawn: Sequence[Images]) -> Row:
    first = drawn[0]
    sampling, acceleration = protocol
    label = f"{scan} {'×'.join(map(str, first.reference.shape[1:]))}, {sampling} R={acceleration}"
    figures = {
        method: {
            name: statistics.mean(
                _figures(*slices)[name] for images in drawn
                for slices in zip(images.by_method[method], images.reference, images.mapped, strict=True)
            )
            for name in BETTER
        }
        for method in first.by_method
    }  # fmt: skip
    fallbacks = {model: reason for images in drawn for model, reason in images.fallbacks.items()}
    return Row(scan, protocol, f"{label} ({first.thinned.acceleration():.2f})", figures, fallbacks)


def _figures(image: Tensor, reference: Tensor, mapped: Tensor) -> dict[str, float]:
    image = fitted(image, reference)
    return {
        "psnr": float(psnr(image, reference)), "ssim": float(ssim(image, reference)),
        "outer": outer_error(image, reference), "contrast": contrast_error(image, reference, mapped),
    }  # fmt: skip


def _pictured(label: str, images: Images) -> list[Judged]:
    """The first slice by every method."""
    reference, shown = images.reference[0], []
    for method in sorted(images.by_method, key=[*PEERS, *images.by_method].index):
        image = fitted(images.by_method[method][0], reference)
        figures = {metric.__name__: float(metric(image, reference)) for metric in (nmse, psnr, ssim)}
        shown.append(Judged(label, 0, 0, 0, 0, method, images.thinned, figures, image, reference, images.header))
    return shown


def _print_rows(rows: Sequence[Row], models: Sequence[str]) -> None:
    """PSNR by method and the lead of each model; then the rest, the best peer beside each model."""
    print_table(("PSNR dB", *PEERS, *models), [
        (row.label, *(f"{row.figures[peer]['psnr']:.2f}" if peer in row.figures else "" for peer in PEERS),
         *(_with_lead(row, model) for model in models))
        for row in rows
    ])  # fmt: skip
    names = [name for name in BETTER if name != "psnr"]
    judged = [row for row in rows if len(row.fallbacks) < len(models)]
    print_table(("SSIM, outer, contrast", "best peer", *models), [
        (row.label, " ".join(f"{row.best(name):.3f}" for name in names),
         *("SENSE" if model in row.fallbacks else " ".join(f"{row.figures[model][name]:.3f}" for name in names)
           for model in models))
        for row in judged
    ])  # fmt: skip
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        for reason in row.fallbacks.values():
            reasons.setdefault(reason, {})[row.name] = None
    for reason, names_of_rows in reasons.items():
        click.echo(f"left to SENSE, {reason}: {'; '.join(names_of_rows)}")
    click.echo()


def _with_lead(row: Row, model: str) -> str:
    lead, reached = row.lead(model), row.figures[model]["psnr"]
    return f"{reached:.2f} (SENSE)" if lead is None else f"{reached:.2f} ({lead:+.2f})"


def _print_means(rows: Sequence[Row], model: str) -> None:
    """Means of leads by protocol and by scan; how many reach the aim, and which do not."""
    judged = [(row, row.lead(model)) for row in rows if row.lead(model) is not None]
    names = ["{} R={}".format(*row.protocol) for row, _ in judged]
    groups = {
        name: [one for one, its in zip(judged, names, strict=True) if its == name]
        for name in sorted(set(names), key=lambda name: ("lines" not in name, name))
    }
    groups |= {scan: [one for one in judged if one[0].scan == scan] for scan in SCANS}
    table = [
        (name, f"{statistics.mean(lead for _, lead in chosen):+.2f}",
         *(f"{statistics.mean(row.figures[model][figure] - row.best(figure) for row, _ in chosen):+.3f}"
           for figure in BETTER if figure != "psnr"),
         f"{sum(lead >= AIM for _, lead in chosen)} of {len(chosen)}")
        for name, chosen in {**groups, "all": judged}.items() if chosen
    ]  # fmt: skip
    print_table((f"{model} over the best peer", "PSNR dB", "SSIM", "outer", "contrast", f"+{AIM} dB"), table)
    missed = "; ".join(f"{row.name} {lead:+.2f}" for row, lead in sorted(judged, key=itemgetter(1)) if lead < AIM)
    click.echo(f"{model} misses +{AIM} dB: {missed or 'nowhere'}\n")


def _behind(row: Row, model: str) -> list[str]:
    """Sentences: whom a network is behind in what."""
    if model in row.fallbacks:
        return []
    return [
        f"{row.name}: {model} is behind {peer} in {figure.upper()}, {ours:.4g} against {theirs:.4g}"
        for figure in ("psnr", "ssim") for ours in [row.figures[model][figure]]
        for peer in PEERS if peer in row.figures for theirs in [row.figures[peer][figure]] if theirs > ours
    ]  # fmt: skip


if __name__ == "__main__":
    main()
