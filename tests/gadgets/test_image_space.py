"""Where an image lies and which number it bears."""

import pytest
import torch

from gadgets.encoding import Limit
from gadgets.errors import ScanError
from gadgets.images.image_header import ImageNumbers
from gadgets.recon.recon_space import ReconSpace


def test_recon_space_keeps_the_object_in_place(minimal_scan):
    """A Gaussian at (x, y) mm stays there at its height, whatever matrix and field of view it is shown on (1 %)."""
    scan = minimal_scan((80, 60, 1), (160.0, 120.0, 5.0), oversampling=1)
    encoding = scan.encodings[0]
    shown = type(encoding)(**{**vars(encoding), "recon_matrix": (96, 48, 1), "recon_fov": (120.0, 80.0, 5.0)})

    def gaussian(n_x, n_y, fov_x, fov_y):
        x = (torch.arange(n_x) - n_x // 2) * fov_x / n_x
        y = (torch.arange(n_y) - n_y // 2) * fov_y / n_y
        return torch.exp(-((x - 12.0) ** 2 + (y[:, None] + 9.0) ** 2) / 200) + 0j

    image = ReconSpace(shown, 80, turned=False).shown(gaussian(80, 60, 160.0, 120.0)[None])
    assert image.shape == (1, 48, 96)
    assert (image[0] - gaussian(96, 48, 120.0, 80.0)).abs().max() < 0.01


def test_recon_space_of_a_readout_that_keeps_its_oversampling(minimal_scan):
    """Without RemoveROOversampling in the chain the image is cropped at the end, to the same pixels."""
    scan = minimal_scan((32, 32, 1), (64.0, 64.0, 5.0), oversampling=2)
    narrow = torch.randn(1, 32, 32, dtype=torch.complex64)
    wide = torch.nn.functional.pad(narrow, (16, 16))
    torch.testing.assert_close(ReconSpace(scan.encodings[0], 64, turned=False).shown(wide), narrow)


def test_image_numbers_are_unique(minimal_scan, make_acquisition):
    """Every combination of counters gets its own number from 1."""
    encoding = minimal_scan(slice=3, contrast=2, repetition=4, phase=1, set=2).encodings[0]
    numbers = ImageNumbers()
    given = [
        numbers.number(make_acquisition(slice=s, contrast=c, repetition=r, set=t).getHead(), encoding)
        for s in range(3) for c in range(2) for r in range(4) for t in range(2)
    ]  # fmt: skip
    assert sorted(given) == list(range(1, 49))


def test_image_numbers_end_at_65535(minimal_scan, make_acquisition):
    """The header field has 16 bits; a number that wraps would replace another image."""
    encoding = minimal_scan(slice=1000, contrast=1, repetition=100, phase=1, set=1).encodings[0]
    assert encoding.counters["slice"] == Limit(0, 999, 0)
    with pytest.raises(ScanError, match="66536"):
        ImageNumbers().number(make_acquisition(slice=535, repetition=66).getHead(), encoding)
