"""What judged scans teach a head, and what other ones make of its word: a table and a bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kband_core.training.schedule import one_cycle
from kband_core.training.uncertainty.judged_scans import JudgedScan
from kband_core.uncertainty.conformal import conformal_quantile
from kband_core.uncertainty.expected_error import Bound, predicted_nmse
from kband_core.uncertainty.head import Head
from kband_core.uncertainty.laplace import laplace_loss
from kband_core.uncertainty.reliability import Reliability, reliability

RATE, BATCH, SIDE = 2e-3, 8, 64  # of Adam; squares in a step, pixels across
BINS = 10

Tell = Callable[[int, float], None]


def fit_head(scans: Sequence[JudgedScan], steps: int, *, seed: int, device: torch.device, tell: Tell) -> Head:
    """Train a head by Laplace's loss on squares of the scans; `tell` hears step and loss.

    Pixels without coil maps do not count. Raises `ValueError` where no image is as large as a square.
    """
    scans = [scan for scan in scans if min(scan.image.shape) >= SIDE and scan.mapped.any()]
    if not scans:
        raise ValueError(f"uncertainty: images smaller than {SIDE} pixels teach nothing")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head().to(device)
    rng = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(head.parameters(), RATE)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = RATE * one_cycle(step, steps)
        known, error, mapped = (torch.stack(part).to(device) for part in zip(*_squares(scans, rng), strict=True))
        adam.zero_grad(set_to_none=True)
        loss = laplace_loss(error[mapped], head(known.float())[mapped])
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        adam.step()
        tell(step + 1, loss.item())
    return head.cpu().eval().requires_grad_(False)


def _squares(scans: Sequence[JudgedScan], rng: torch.Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=rng))

    squares = []
    while len(squares) < BATCH:
        scan = scans[below(len(scans))]
        top, left = (below(side - SIDE + 1) for side in scan.image.shape)
        rows, columns = slice(top, top + SIDE), slice(left, left + SIDE)
        parts = scan.evidence[:, rows, columns], scan.error[rows, columns], scan.mapped[rows, columns]
        if parts[2].any():
            squares.append(parts)
    return squares


@torch.no_grad()
def calibrate(head: Head, scans: Sequence[JudgedScan], level: float) -> tuple[Reliability, Bound]:
    """Return the table that corrects the head, from one half of the scans, and the bound, from the other.

    The score of a scan is its NMSE over that which the corrected head predicts. Raises `ValueError` for too few scans.
    """
    said = [head(scan.evidence.float()[None])[0] * scan.mapped for scan in scans]
    half = len(scans) // 2
    first = list(zip(said[:half], scans[:half], strict=True))
    predicted = torch.cat([sigma[scan.mapped] for sigma, scan in first])
    error = torch.cat([scan.error[scan.mapped] for _, scan in first])
    table = reliability(predicted, error, BINS)
    scores = torch.stack([
        scan.nmse / predicted_nmse(table.calibrated(sigma), scan.image)
        for sigma, scan in zip(said[half:], scans[half:], strict=True)
    ])  # fmt: skip
    return table, Bound(level, conformal_quantile(scores, level), len(scores))
