"""A network that tells how wrong each line of k-space is in an image of the lines so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn

N_MARGINS = 16  # parts of k-space by which the margin of the whole error is told


class LineEvaluator(nn.Module):
    """Error of each line, from `features` of lines by convolutions along ky: the same weights for every line.

    It shares the idea of an evaluator with Zhang et al., "Reducing uncertainty in undersampled MRI reconstruction with
    active acquisition", CVPR 2019, but regresses the logarithm of the line's squared error, with no adversary.

    `margin`, `(N_MARGINS,)`, is told by held-out scans: with a share f of the lines, 9 of 10 images had at most
    `margin[f·N_MARGINS]` times the summed error.
    """

    def __init__(self, features: int = 16, width: int = 40) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(features, width, 5, padding=2), nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2), nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=8, dilation=4), nn.SiLU(),
            nn.Conv1d(width, 1, 1),
        )  # fmt: skip
        self.register_buffer("margin", torch.ones(N_MARGINS))

    def forward(self, features: Tensor) -> Tensor:
        """Return log10 of each line's share of the squared error, of all energy: features `(b, feature, ky)`."""
        return 2 * (self.body(features).squeeze(-2) + features[:, 0] - 2)
