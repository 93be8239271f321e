"""Slices excited at once: four slices of a real head, added up with and without shifts, and told apart again."""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import click
import torch
from measure import data_option, fully_sampled, print_conditions, print_table, scores
from torch import Tensor

from gadgets.items import ImageArray
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.calibration import coil_maps
from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.models import load_card, load_model
from kband_core.multiband import MultibandOperator, unfold
from kband_core.operators import predicted_kspace
from kband_core.reconstruct import network
from kband_core.sampling import Grid
from pipelines.chain.pipeline import Pipeline, load_xml
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.files.mrd_file import RawFile

HEAD = "head_gre_32ch_4slices"
ACS_LINES = 24
SPACING = 10.0  # mm between its slices
MODEL = "simulated_small"
MISSED = 0.05  # of the measured energy, from which on an image is INCONSISTENT


class Case(NamedTuple):
    """So many slices at once, each shifted by `shift` of the field of view from the last; every R-th line; the NRMSE
    that others reached, and we must."""

    name: str
    factor: int
    shift: float
    acceleration: int
    bound: float


CASES = (
    Case("MB2, FOV/2", 2, 1 / 2, 1, 0.059),
    Case("MB2, no CAIPI", 2, 0.0, 1, 0.09),
    Case("MB2 × R=2, FOV/2", 2, 1 / 2, 2, 0.11),
    Case("MB2 × R=2, FOV/4", 2, 1 / 4, 2, 0.11),
    Case("MB4, FOV/4", 4, 1 / 4, 1, 0.11),
    Case("MB4, FOV/3", 4, 1 / 3, 1, 0.11),
)
WRONG = {  # what a converter may have told otherwise: shift, slices of the single-band lines, blips in them
    "as it was": (1 / 4, (0, 1, 2, 3), False),
    "the other way": (-1 / 4, (0, 1, 2, 3), False),
    "no shift": (0.0, (0, 1, 2, 3), False),
    "slices numbered the other way": (1 / 4, (3, 2, 1, 0), False),
    "slices 1 and 2 exchanged": (1 / 4, (0, 2, 1, 3), False),
    "blips in the single bands": (1 / 4, (0, 1, 2, 3), True),
}


@click.command()
@data_option
def main(data: Path) -> None:
    """Compare images with those of the same lines, slice by slice; exits with 1 above what others reached."""
    torch.set_grad_enabled(False)
    kspace = torch.stack([fully_sampled(data / f"{HEAD}.h5", number) for number in range(4)])
    reference = root_sum_of_squares(to_image(kspace))
    print_conditions(f"NRMSE of the magnitude to the image of each slice's own lines, after one factor; {HEAD}, "
                     f"{ACS_LINES} single-band lines.")  # fmt: skip
    rows, failed = [], False
    for case in CASES:
        images, _ = chain_images(data, kspace, case)
        errors = [scores(image, one)[0] for image, one in zip(images, reference, strict=True)]
        by_network = [scores(image, one)[0] for image, one in zip(after_network(kspace, case), reference, strict=True)]
        failed |= mean(errors) > case.bound
        rows.append((case.name, *(f"{error:.4f}" for error in errors), f"{mean(errors):.4f}", f"{case.bound:.3f}",
                     f"{mean(by_network):.4f}"))  # fmt: skip
    print_table(("", *(f"slice {n}" for n in range(4)), "mean", "bound", "network behind it"), rows)
    click.echo("MB4, FOV/4, when the header or the single-band lines tell otherwise. From 5 % on INCONSISTENT.\n")
    wrong = []
    for name, (shift, order, has_blips) in WRONG.items():
        case = CASES[4]
        images, missed = chain_images(data, kspace, case, told=shift, order=order, has_blips=has_blips)
        errors = [scores(image, reference[number])[0] for image, number in zip(images, order, strict=True)]
        wrong.append((name, f"{mean(errors):.3f}", f"{missed:.1%}"))
        failed |= (missed > MISSED) is (name == "as it was")
    print_table(("", "NRMSE", "fits to no slice"), wrong)
    raise SystemExit(int(failed))


def chain_images(
    data: Path, kspace: Tensor, case: Case, *, told: float | None = None, order: Sequence[int] = (0, 1, 2, 3),
    has_blips: bool = False,
) -> tuple[list[Tensor], float]:  # fmt: skip
    """Images by slice of the pipeline `multiband_sense`, and the share of the energy that fits to none of them."""
    header, lines = folded_scan(data / f"{HEAD}.h5", kspace, case, order, has_blips=has_blips)
    pipeline = Pipeline.from_xml(load_xml("multiband_sense"))
    pipeline = Pipeline([gadget for gadget in pipeline.gadgets if gadget.twin_of is None])
    pipeline.gadgets[0].fov_shift = (case.shift if told is None else told) or 1.0  # 1: shifted by all of it
    found: dict[int, Tensor] = {}
    missed = 0.0
    for item in run(pipeline, Scan.from_xml(header), lines, Verdict()):
        if isinstance(item, ImageArray):
            for image, one, meta in zip(item.data, item.headers.flat, item.meta.flat, strict=True):
                found[one.slice], missed = image[0, 0, 0, 0], max(missed, float(meta["kband_unexplained"]))
    return [found[number] for number in sorted(found)], missed


def folded_scan(
    path: Path, kspace: Tensor, case: Case, order: Sequence[int], *, has_blips: bool
) -> tuple[str, list[ismrmrd.Acquisition]]:
    """Header and lines of a scan that excites `factor` slices at once; single-band lines come first, `order` telling
    under whose number. `kspace` `(slice, coil, ky, kx)`."""
    n_rows, n_groups = kspace.shape[-2], len(kspace) // case.factor
    with RawFile(path) as raw:
        header, original = ismrmrd.xsd.CreateFromDocument(raw.header_xml), list(raw)
    at = {(line.idx.slice, line.idx.kspace_encode_step_1): line.getHead() for line in original}
    single = ismrmrd.xsd.CreateFromDocument(ismrmrd.xsd.ToXML(header)).encoding[0]
    xsd, folded = ismrmrd.xsd, header.encoding[0]
    folded.encodingLimits.slice.maximum = n_groups - 1
    folded.parallelImaging.accelerationFactor.kspace_encoding_step_1 = case.acceleration
    folded.parallelImaging.multiband = xsd.multibandType(
        spacing=[xsd.multibandSpacingType(dZ=[SPACING * n_groups])], deltaKz=0.0, multiband_factor=case.factor,
        calibration=xsd.multibandCalibrationType.SEPARABLE2_D, calibration_encoding=1,
    )  # fmt: skip
    header.encoding.append(single)

    def blip(number: int, row: int) -> complex:
        return cmath.rect(1, 2 * cmath.pi * (row - n_rows // 2) * number * case.shift)

    lines = []
    for number, measured in enumerate(order):
        for row in range(n_rows // 2 - ACS_LINES // 2, n_rows // 2 + ACS_LINES // 2):
            samples = kspace[measured, :, row] * (blip(number // n_groups, row) if has_blips else 1)
            line = _line(at[number, row], samples, encoding=1)
            line.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
            lines.append(line)
    for group in range(n_groups):
        for row in range(n_rows // 2 % case.acceleration, n_rows, case.acceleration):
            together = kspace[group::n_groups, :, row]
            samples = sum(one * blip(number, row) for number, one in enumerate(together))
            lines.append(_line(at[group, row], samples, encoding=0))
    return xsd.ToXML(header), lines


def _line(head: ismrmrd.AcquisitionHeader, samples: Tensor, *, encoding: int) -> ismrmrd.Acquisition:
    line = ismrmrd.Acquisition(ismrmrd.AcquisitionHeader.from_buffer_copy(head), samples.numpy())
    line.clear_all_flags()
    line.encoding_space_ref = encoding
    return line


def after_network(kspace: Tensor, case: Case) -> list[Tensor]:
    """Images by slice of the network that ships: the lines of each slice, as SENSE has told them apart, are its input.
    """
    model, n_groups = load_model(load_card(MODEL)), len(kspace) // case.factor
    mask = torch.zeros(kspace.shape[-2], 1, dtype=torch.bool)
    mask[kspace.shape[-2] // 2 % case.acceleration :: case.acceleration] = True
    shifts = [number * case.shift for number in range(case.factor)]
    start, found = kspace.shape[-2] // 2 - ACS_LINES // 2, {}
    for group in range(n_groups):
        slices = kspace[group::n_groups]
        maps = coil_maps(slices[:, :, start : start + ACS_LINES].contiguous(), kspace.shape[-2:])
        operator = MultibandOperator(Grid(mask), maps.certain(), shifts)
        folded = operator.sampling.mask * sum(
            torch.exp(2j * torch.pi * shift * (torch.arange(kspace.shape[-2]) - kspace.shape[-2] // 2))[:, None] * one
            for shift, one in zip(shifts, slices, strict=True)
        )
        sets = unfold(operator, folded, regularisation=0.01, n_iterations=20)
        apart = predicted_kspace(sets, operator.csm) * mask
        images = network(apart, Grid(mask[None]), maps.certain(), model)
        found |= dict(zip(range(group, len(kspace), n_groups), images, strict=True))
    return [found[number] for number in sorted(found)]


if __name__ == "__main__":
    main()
