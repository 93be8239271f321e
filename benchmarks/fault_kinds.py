"""The kinds of faults: what each does to a scan. A kind is a name and a function that makes the scan at some R."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from fault_scans import MATRIX, FaultyScan, head, head_kspace, patterned_kspace, real
from torch import Tensor

from gadgets import flags
from kband_core.noise import noise_level
from kband_core.phantom import Ellipse, Phantom, complex_noise, head_phantom


@dataclass(frozen=True)
class Kind:
    """A fault and the accelerations at which it is looked at."""

    name: str
    accelerations: tuple[int, ...]
    make: Callable[[int], FaultyScan]


CENTRE = MATRIX // 2
PIXEL = torch.arange(MATRIX)


def all_kinds(data: Path | None) -> Iterator[Kind]:
    """Clean ones first, then parts A and B of what is known to go wrong; real ones where there is a folder."""
    yield Kind("clean", (1, 2, 3, 4), head)
    yield from _combination()
    yield from _maps()
    yield from _samples()
    yield from _lines_and_coils()
    yield from _noise_scans()
    yield from _objects()
    if data is not None:
        yield from _real(data)


def _combination() -> Iterator[Kind]:
    for fov in (0.8, 0.7):
        yield Kind(f"A0 wrapped, field of view {fov:g}", (1, 2), _head(kspace=lambda fov=fov: head_kspace(fov=fov)))
    unequal = torch.tensor([0.5, 2.0, 0.7, 1.4, 1.0, 0.5, 2.0, 1.0])
    yield Kind("A0 gains of coils 0.5 to 2", (1, 3), lambda r: head(r, gains=unequal))
    for factor in (3, 10):
        yield Kind(f"A1 noise ×{factor} in one coil", (1, 3), lambda r, f=factor: head(r, louder={1: f}))
    for snr in (10, 20):
        yield Kind(f"A2 noise correlated by 0.5, SNR {snr}", (1, 2), lambda r, s=snr: head(r, correlation=0.5, snr=s))
    for snr in (5, 2.5, 1):
        yield Kind(f"A3 SNR {snr:g}", (1, 2), lambda r, s=snr: head(r, snr=s))


def _maps() -> Iterator[Kind]:
    for n in (6, 7, 8):
        yield Kind(f"A4 {n} ACS lines", (2,), lambda r, n=n: head(r, acs_lines=n))
    yield Kind("A4 reference scan, 20 lines off centre", (2,), _head(calibrated_by=lambda: head_kspace().roll(20, -2)))
    band = patterned_kspace((torch.sigmoid((PIXEL - 80) / 2.0))[:, None].expand(-1, MATRIX))
    disc = head_kspace(phantom=Phantom((Ellipse(1.0, 0.25, 0.25, 0.1, 0.0),)))
    yield Kind("A5 reference scan with a saturation band", (2,), _head(calibrated_by=lambda: band))
    yield Kind("A5 reference scan of a disc", (2,), _head(calibrated_by=lambda: disc))
    other = head_kspace(phantom=head_phantom(0.5))
    yield Kind("A5 reference scan of another slice", (2,), _head(calibrated_by=lambda: other))
    moved = head_kspace(turned_mm=15)
    yield Kind("A5 array moved by 15 mm since the reference scan", (2,), _head(calibrated_by=lambda: moved))


def _samples() -> Iterator[Kind]:
    def spikes(scan: FaultyScan) -> None:
        for coil, row, sample in ((1, 40, 100), (3, 70, 140), (6, 91, 61)):
            _near(scan, row).data[coil, sample] *= 1000

    def herringbone(scan: FaultyScan) -> None:
        _near(scan, 80).data[4, 150] = max(abs(line.data).max() for line in scan.image_lines())

    def zipper(scan: FaultyScan) -> None:
        rng = torch.Generator().manual_seed(0)
        for line in scan.image_lines():
            phase = torch.rand(8, 1, generator=rng)  # the source knows nothing of the sequence
            line.data[:] += 0.5 * torch.exp(2j * torch.pi * (0.11 * torch.arange(2 * MATRIX) + phase)).numpy()

    def clipped(scan: FaultyScan) -> None:
        most = 0.1 * max(abs(line.data).max() for line in scan.image_lines())
        for line in scan.image_lines():
            size = abs(line.data)
            line.data[:] = line.data * (most / size.clip(most))

    def offset(scan: FaultyScan) -> None:
        for line in scan.image_lines():
            line.data[:] += 1.0

    for name, spoil in (
        ("B6 three samples ×1000", spikes), ("B6 one spike, one coil", herringbone), ("B6 RF zipper", zipper),
        ("B6 clipped at 10 %", clipped), ("B6 DC offset", offset),
    ):  # fmt: skip
        yield Kind(name, (1, 3), _spoiled(spoil))


def _lines_and_coils() -> Iterator[Kind]:
    def scaled(factor: float, *rows: int) -> Callable[[FaultyScan], None]:
        def spoil(scan: FaultyScan) -> None:
            for row in rows:
                _near(scan, row).data[:] *= factor

        return spoil

    def dropped(scan: FaultyScan) -> None:
        for row in (58, 61, 66, 70):
            line = _near(scan, row)
            line.data[:, 20:] = line.data[:, :-20].copy()

    def odd_shifted(scan: FaultyScan) -> None:
        for line in scan.image_lines()[1::2]:
            line.data[:, 1:] = line.data[:, :-1].copy()

    def half_way(scan: FaultyScan) -> None:
        lines = scan.image_lines()
        for line in lines[len(lines) // 2 :]:
            line.data[2] *= 4

    def image_lines_only(factor: float) -> Callable[[FaultyScan], None]:
        def spoil(scan: FaultyScan) -> None:
            for line in scan.image_lines():
                if not flags.is_calibration(line):
                    line.data[2] *= factor

        return spoil

    def motion(every_other: bool) -> Callable[[FaultyScan], None]:
        def spoil(scan: FaultyScan) -> None:
            lines = scan.image_lines()
            for line in lines[1::2] if every_other else lines[len(lines) // 2 :]:
                turn = 2 * torch.pi * 3 * (line.idx.kspace_encode_step_1 - CENTRE) / MATRIX
                line.data[:] *= torch.exp(1j * torch.tensor(turn)).numpy()

        return spoil

    for name, accelerations, spoil in (
        ("B6 centre line negated", (1, 3), scaled(-1, CENTRE)), ("B6 centre line zero", (1, 3), scaled(0, CENTRE)),
        ("B6 line of zeros, row 76", (1, 3), scaled(0, 76)), ("B6 samples dropped in 4 lines", (1, 3), dropped),
        ("B6 one calibration line ×1e6", (3,), scaled(1e6, CENTRE + 5)),
        ("B6 odd lines shifted by a sample", (1, 3), odd_shifted), ("B6 one coil ×4 half-way", (1, 3), half_way),
        ("B6 one coil dead in image lines", (3,), image_lines_only(0)),
        ("B6 one coil ×1e6 in image lines", (3,), image_lines_only(1e6)),
        ("B10 motion by 3 px, second half", (1, 3), motion(False)),
        ("B10 motion by 3 px, odd lines", (1, 3), motion(True)),
    ):  # fmt: skip
        yield Kind(name, accelerations, _spoiled(spoil))
    yield Kind("B10 one coil", (2, 3), _head(kspace=lambda: head_kspace(n_coils=1)))


def _noise_scans() -> Iterator[Kind]:
    def noise_lines(change: Callable[[Tensor, int], Tensor]) -> Callable[[FaultyScan], None]:
        def spoil(scan: FaultyScan) -> None:
            for number, line in enumerate(line for line in scan.lines if flags.is_noise(line)):
                line.data[:] = change(torch.from_numpy(line.data.copy()), number).numpy()

        return spoil

    echo = head_kspace()[:, CENTRE]
    for factor in (1, 3):
        yield Kind(
            f"B7 noise lines hold an echo ×{factor}", (1, 3),
            _spoiled(noise_lines(lambda data, n, f=factor: data + f * echo), noise_scan=True),
        )  # fmt: skip
    gains = torch.tensor([30.0, 1, 1, 1 / 30, 1, 1, 30, 1])[:, None]
    dead = torch.tensor([1.0, 1, 0, 1, 1, 1, 1, 1])[:, None]
    for name, change in (
        ("B7 noise gains off by 30", lambda data, n: gains * data),
        ("B6 noise scan of zeros", lambda data, n: 0 * data),
        ("B6 noise scan with a dead coil", lambda data, n: dead * data),
        ("B6 noise scan of NaN", lambda data, n: data * float("nan")),
    ):  # fmt: skip
        yield Kind(name, (1, 3), _spoiled(noise_lines(change), noise_scan=True))


def _objects() -> Iterator[Kind]:
    inside = ((PIXEL - 64).abs() < 20).float()
    square = torch.outer(inside, inside)
    for name, accelerations, wave in (
        ("B8 2-pixel checkerboard", (3,), torch.outer(_bars(2), _bars(2))),
        ("B8 bars of 1.5 px", (4,), _bars(1.5)[:, None].expand(-1, MATRIX)),
        *((f"B9 tags of {n} px", (3,), _bars(n)[:, None].expand(-1, MATRIX)) for n in (3, 5, 6)),
    ):
        yield Kind(name, accelerations, _head(kspace=lambda w=wave: patterned_kspace(1 + square * (0.5 * w - 0.5))))
    for n in (3, 5, 8):
        tags = 0.5 + 0.5 * _bars(n)[:, None].expand(-1, MATRIX)
        yield Kind(f"B9 tags of {n} px, whole head", (1, 3), _head(kspace=lambda w=tags: patterned_kspace(w)))
    yield Kind("B9 separate reference scan", (3, 4), _head(calibrated_by=head_kspace))


def _real(data: Path) -> Iterator[Kind]:
    for name in ("brain_t1_8ch", "brain_flash_16ch", "brain_prescan_16ch"):
        yield Kind(f"clean {name}", (1, 2, 3), lambda r, name=name: real(data / f"{name}.h5", r))
    full = torch.ones(1, 1, dtype=torch.bool)

    def loud(kspace: Tensor) -> Tensor:
        sd = 10 * noise_level(kspace, full.expand(kspace.shape[-2], 1))
        extra = complex_noise(sd**2 / 2 * torch.eye(1), kspace.shape[1:], torch.Generator().manual_seed(0))
        return torch.cat([kspace[:2], kspace[2:3] + extra, kspace[3:]])

    def noisy(snr: float, correlation: float) -> Callable[[Tensor], Tensor]:
        def change(kspace: Tensor) -> Tensor:
            n_coils = len(kspace)
            coil = torch.arange(n_coils)
            apart = (coil[:, None] - coil).abs()
            covariance = correlation ** torch.minimum(apart, n_coils - apart)
            image = torch.fft.ifft2(kspace, norm="ortho").abs().square().sum(0).sqrt()
            sd = torch.quantile(image, 0.9) / snr
            return kspace + complex_noise(sd**2 * covariance, kspace.shape[1:], torch.Generator().manual_seed(0))

        return change

    yield Kind("A1 t1, noise ×10 in one coil", (1, 3), lambda r: real(data / "brain_t1_8ch.h5", r, change=loud))
    flash = data / "brain_flash_16ch.h5"
    yield Kind("A2 flash, correlated by 0.5, SNR 10", (1, 2), lambda r: real(flash, r, change=noisy(10, 0.5)))
    yield Kind("A3 flash, SNR 5", (1, 2), lambda r: real(flash, r, change=noisy(5, 0)))


def _bars(width: float) -> Tensor:
    return torch.sign(torch.sin(torch.pi * (PIXEL + 0.5) / width))


def _near(scan: FaultyScan, step1: int):
    """The acquired line nearest to an encoding step."""
    steps = {line.idx.kspace_encode_step_1 for line in scan.image_lines()}
    return scan.row(min(steps, key=lambda step: (abs(step - step1), step)))


def _head(**scenes: Callable[[], Tensor]) -> Callable[[int], FaultyScan]:
    return lambda acceleration: head(acceleration, **{name: scene() for name, scene in scenes.items()})


def _spoiled(spoil: Callable[[FaultyScan], None], *, noise_scan: bool = False) -> Callable[[int], FaultyScan]:
    def make(acceleration: int) -> FaultyScan:
        scan = head(acceleration, noise_scan=noise_scan)
        spoil(scan)
        return scan

    return make
