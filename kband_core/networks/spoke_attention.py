"""Attention among spokes: each is one token, which holds features of every pixel of its projection.

Queries and keys are turned by n times the angle of their spoke, n = 1 to 64: what one spoke hears of another depends on
the angle between them alone (rotary codes, Su 2021), and an object that is turned is completed as it was before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # whole numbers: the circle closes
CODE = 2 * len(ORDERS)  # numbers of a query, and of a key


class SpokeBlock(nn.Module):
    """Hear from spokes, then convolve along the projection; both added to what was there.

    Tokens are `(spoke, channel, pixel)`. Who is heard is told by means over pixels, what is heard stays at its pixel.
    """

    def __init__(self, channels: int, heads: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = (nn.Linear(channels, heads * CODE) for _ in range(2))
        self.value, self.heard = (nn.Conv1d(channels, channels, 1) for _ in range(2))
        self.before, self.between = (nn.GroupNorm(1, channels) for _ in range(2))
        wide = nn.Conv1d(channels, hidden, kernel, padding=kernel // 2)
        self.along = nn.Sequential(wide, nn.GELU(), nn.Conv1d(hidden, channels, kernel, padding=kernel // 2))

    def forward(self, tokens: Tensor, angle: Tensor, others: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """Let tokens at `angle` `(spoke,)` hear `others` `at` their angles, or one another."""
        listening = self.before(tokens)
        others, at = (listening, angle) if others is None else (others, at)
        query, key = self._coded(self.query(listening.mean(-1)), angle), self._coded(self.key(others.mean(-1)), at)
        share = (query @ key.mT / CODE**0.5).softmax(-1)
        value = self.value(others).unflatten(1, (self.heads, -1))
        tokens = tokens + self.heard(torch.einsum("hts,shcr->thcr", share, value).flatten(1, 2))
        return tokens + self.along(self.between(tokens))

    def _coded(self, means: Tensor, angle: Tensor) -> Tensor:
        """`(spoke, head · code)` → `(head, spoke, code)`, pairs of numbers turned by the angles."""
        pairs = torch.view_as_complex(means.unflatten(-1, (self.heads, -1, 2)).movedim(1, 0).contiguous())
        turn = angle[:, None] * torch.tensor(ORDERS, dtype=angle.dtype, device=angle.device)
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(turn), turn)).flatten(-2)
