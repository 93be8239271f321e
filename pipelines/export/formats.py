"""In which form images are written: one name for each, on the command line and here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipelines.files.finished_file import ENDINGS, HDF5, FileProblem, refuse_other_format
from pipelines.files.image_sink import ImageSink
from pipelines.files.mrd_file import ImageFile

NEEDED = {"dicom": ("pydicom", "highdicom"), "nifti": ("nibabel",), "send": ("pydicom", "pynetdicom")}  # packages


def ending_of(form: str) -> str:
    """The ending of what is written: ".h5" of an MRD file, none of the folders that all other forms are."""
    return HDF5[0] if form == "mrd" else ""


def refuse_name(path: Path, form: str) -> None:
    """Raise `FileProblem` if `path` is named like a file of another form."""
    if form == "mrd":
        refuse_other_format(path, *HDF5)
    elif path.suffix.lower() in ENDINGS:
        raise FileProblem(f"{path}: {form} images are a folder; give it a name without {path.suffix}")


def require_packages(what: str) -> None:
    """Raise `FileProblem`, saying what to install, if a package is missing that a form, or sending, needs."""
    if missing := [name for name in NEEDED.get(what, ()) if importlib.util.find_spec(name) is None]:
        raise FileProblem(f"{' and '.join(missing)} missing, and {what} needs it: pip install kband[export]")


def image_sink(
    path: Path, header_xml: str, form: str = "mrd", *, made_by: str = "", overwrite: bool = False
) -> ImageSink:
    """Choose where the images of a scan go; `made_by` tells series of the same scan apart, in DICOM.

    Raises `FileProblem` if a package is missing.
    """
    require_packages(form)
    if form == "mrd":
        return ImageFile(path, header_xml, overwrite=overwrite)
    if form == "dicom":
        from pipelines.export.dicom_sink import DicomFolder

        return DicomFolder(path, header_xml, made_by, overwrite=overwrite)
    from pipelines.export.volume_files import save_cfl, save_nifti, save_npy
    from pipelines.export.volume_folder import VolumeFolder

    save, endings = {"nifti": (save_nifti, (".nii.gz",)), "npy": (save_npy, (".npy",)),
                     "cfl": (save_cfl, (".cfl", ".hdr"))}[form]  # fmt: skip
    return VolumeFolder(path, header_xml, save, endings, overwrite=overwrite)
