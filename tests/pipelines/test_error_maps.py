"""The picture of an evaluation: which lines there were, and errors that can be told apart."""

import ismrmrd
import numpy as np
import pytest
import torch

from pipelines.evaluation.evaluation import Judged
from pipelines.evaluation.undersampled_scan import UndersampledScan
from pipelines.pictures.error_maps import error_maps

ACS = np.abs(np.arange(8) - 3.5) < 2
TRUTH = torch.arange(64.0).reshape(8, 8)


def judged(method: str, error: float, calibrating=ACS) -> Judged:
    figures = {"nmse": error**2, "psnr": 20.0, "ssim": 0.9}
    image = TRUTH + error * torch.linspace(0, 1, 64).reshape(8, 8)
    sampling = UndersampledScan("", None, (np.arange(8) % 2 == 0,), (calibrating,), (np.ones(8, bool),))
    return Judged("full.h5", 0, 0, 0, 0, method, sampling, figures, image, TRUTH, ismrmrd.ImageHeader())


def texts(figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_the_sampling_is_shown():
    """Rows from above to below, as they lie in k-space; those off the grid are grey."""
    figure = error_maps([judged("SENSE", 1.0)])
    sampling = figure.axes[2].images[0].get_array()
    assert sampling[:, 0].tolist() == [1, 0, 1, 0.5, 1, 0.5, 1, 0]
    assert "sampling: 6 of 8 lines, R = 1.33 grey: 2 calibration lines off the grid" in texts(figure)
    one = error_maps([judged("SENSE", 1.0, calibrating=np.arange(8) == 3)])
    assert "grey: 1 calibration line off the grid" in texts(one)


def test_errors_are_scaled_to_the_best_method():
    """Small ones would be black in the window of the image, and a factor that suits one scan does not suit the next."""
    figure = error_maps([judged("zero-filled", 10.0), judged("SENSE", 0.1), judged("GRAPPA", 0.5)])
    white = np.percentile(0.1 * np.linspace(0, 1, 64), 99.5)
    assert [axes.images[0].get_clim()[1] for axes in figure.axes[-3:]] == [pytest.approx(white, rel=1e-4)] * 3
    assert "scaled to the best method" in texts(figure)
    assert "white: 0.2% of the reference's" in texts(figure)


def test_a_method_without_an_error_does_not_blind_the_others():
    """R=1: what is exact has nothing to be scaled to."""
    figure = error_maps([judged("SENSE", 0.0), judged("GRAPPA", 0.5)])
    assert figure.axes[-1].images[0].get_clim()[1] == pytest.approx(0.5, rel=0.02)
