"""Projections between those that were measured: linear in the angle, across the end of half a turn as well."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 1e-3  # of a gap


class Neighbours(NamedTuple):
    """The measured spokes on both sides of each wanted one, `(wanted,)`.

    `before`, `after`: which spokes; `turned_before`, `turned_after`: whether they are to be read backwards, being those
    from the other end of half a turn; `to_before`, `to_after`: how far away, in radians.
    """

    before: Tensor
    after: Tensor
    turned_before: Tensor
    turned_after: Tensor
    to_before: Tensor
    to_after: Tensor


def neighbours(measured: Tensor, wanted: Tensor) -> Neighbours:
    """Find the neighbours of angles `wanted` among those `measured`, all in radians modulo π."""
    ordered, order = measured.sort()
    after = torch.searchsorted(ordered, wanted.contiguous())
    n = len(ordered)
    turned_before, turned_after = after == 0, after == n
    before, after = (after - 1) % n, after % n
    to_before = wanted - ordered[before] + math.pi * turned_before
    to_after = ordered[after] - wanted + math.pi * turned_after
    return Neighbours(order[before], order[after], turned_before, turned_after, to_before, to_after)


def beside(projections: Tensor, found: Neighbours) -> tuple[Tensor, Tensor]:
    """Return the projections `(..., wanted, pixel)` before and after each wanted one, read in its direction."""
    sides = []
    for index, turned in ((found.before, found.turned_before), (found.after, found.turned_after)):
        side = projections[..., index, :]
        sides.append(torch.where(turned[:, None], side.flip(-1), side))
    return sides[0], sides[1]


def interpolated(projections: Tensor, found: Neighbours) -> Tensor:
    """Interpolate measured projections `(..., spoke, pixel)` linearly: `(..., wanted, pixel)`."""
    before, after = beside(projections, found)
    share = (found.to_before / (found.to_before + found.to_after).clamp(min=1e-9))[:, None]
    return (1 - share) * before + share * after


def angles_between(measured: Tensor, n_spokes: int) -> Tensor:
    """Return angles that fill the gaps between those `measured`, evenly, so that none is wider than π/`n_spokes`.

    In radians modulo π, `(wanted,)`. Where there is no such gap, the widest one is halved.
    """
    ordered = measured.cpu().double().sort().values
    gaps = torch.diff(ordered, append=ordered[:1] + math.pi)
    n_parts = (gaps * n_spokes / math.pi - ROUNDING).ceil().clamp(min=1).long()
    if int(n_parts.max()) == 1:
        n_parts[gaps.argmax()] = 2
    parts = zip(ordered, gaps, n_parts.tolist(), strict=True)
    found = torch.cat([start + gap * torch.arange(1, n) / n for start, gap, n in parts])
    return (found % math.pi).to(measured)
