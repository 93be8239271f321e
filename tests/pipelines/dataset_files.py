"""Small files in exactly the layouts in which public data sets are published.

The object is a bright spot far off the centre, beside a larger disc; matrices are not square. So an axis taken for
another, or a half-shifted image, ends in another place.
"""

import h5py
import numpy as np
import torch

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import resize, to_kspace

ROWS, COLUMNS = 48, 40  # of the image as it is published
SPOT = (11, 30)

HEADER = b"""<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.ismrm.org/ISMRMRD ismrmrd.xsd">
  <encoding>
    <encodedSpace><matrixSize><x>96</x><y>40</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>280</x><y>140</y><z>4.5</z></fieldOfView_mm></encodedSpace>
    <reconSpace><matrixSize><x>48</x><y>40</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>140</x><y>140</y><z>4.5</z></fieldOfView_mm></reconSpace>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""


def coil_images(n_slices=2, n_coils=4) -> torch.Tensor:
    """Images (slice, coil, row, column) of smooth coils around the object."""
    row, column = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    disc = ((row - 27) ** 2 / 15**2 + (column - 19) ** 2 / 13**2 < 1).float()
    spot = 4 * torch.exp(-((row - SPOT[0]) ** 2 + (column - SPOT[1]) ** 2) / 4)
    angles = torch.arange(n_coils) * (2 * torch.pi / n_coils)
    y, x = (axis / length - 0.5 for axis, length in ((row, ROWS), (column, COLUMNS)))
    coils = torch.stack([
        torch.exp(-2 * ((y - 0.6 * angle.sin()) ** 2 + (x - 0.6 * angle.cos()) ** 2)) * torch.polar(
            torch.tensor(1.0), 2 * (y * angle.cos() + x * angle.sin()) + angle)
        for angle in angles
    ])  # fmt: skip
    return (coils * (disc + spot)).expand(n_slices, -1, -1, -1).clone()


def write_fastmri(path, *, n_coils=4, header=HEADER, mask=None, empty=(), acquired=slice(None)):
    """A file of fastMRI: readout along rows, twice oversampled."""
    images = resize(coil_images(3, n_coils), (2 * ROWS, COLUMNS))
    kspace = torch.zeros_like(images)
    kspace[..., acquired] = to_kspace(images)[..., acquired]
    kspace[list(empty)] = 0
    with h5py.File(path, "w") as file:
        file["kspace"] = (kspace if mask is None else kspace * torch.from_numpy(mask)).numpy()
        file["ismrmrd_header"] = header
        if mask is None:
            file["reconstruction_rss"] = root_sum_of_squares(coil_images(3, n_coils)).numpy()
            file.attrs.update(max=1.0, norm=1.0)
        else:
            file["mask"] = mask
        file.attrs.update(patient_id="0d6a3f7e", acquisition="CORPD_FBK")


def write_m4raw(path, *, patient="88448eec", header=b"<ismrmrdHeader><encoding>"):
    """A file of M4Raw: like fastMRI, no oversampling, and by default a header that is no XML."""
    images = coil_images(2)
    with h5py.File(path, "w") as file:
        file["kspace"] = to_kspace(images).numpy()
        file["reconstruction_rss"] = root_sum_of_squares(images).numpy()
        file["ismrmrd_header"] = header
        file.attrs.update(acquisition="AXT2", max=1.0, patient_id=patient)


def write_skm_tea(path, n_x=4):
    """A file of SKM-TEA: rows are ky, columns kz; zeros beyond 40 x 36 acquired samples; the first x is empty."""
    kspace = resize(resize(to_kspace(coil_images(2)), (40, 36)), (ROWS, COLUMNS))
    kspace = kspace.permute(2, 3, 0, 1).expand(n_x, -1, -1, -1, -1).clone()  # (x, ky, kz, echo, coil)
    kspace[0] = 0
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace.numpy()
        file["maps"] = np.zeros((n_x, ROWS, COLUMNS, 4, 1), np.complex64)
        file["target"] = np.zeros((n_x, ROWS, COLUMNS, 2, 1), np.complex64)
        file["masks/poisson_4.0x"] = np.ones((40, 36), bool)
