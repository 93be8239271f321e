"""What is shown of one MRD image: pixels, window, and lines of text; what is wrong with it is said in red."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gadgets.mrd import ismrmrd
from kband_core.plural import plural
from pipelines.pictures.comparison import compare, part_shown, shown_pixels, values_shown
from pipelines.pictures.orientation import Geometry, slice_position
from pipelines.pictures.panel import AMBER, QUIET, RED, TEXT, Panel

DIFFERENCE_GAIN = 5
LARGEST_WHOLE_PHASE = 4095  # phase images converted to whole numbers


@dataclass(frozen=True)
class Window:
    """The values of black and white that several images share, and of what they are told."""

    limits: tuple[float, float]
    of: str
    overrides: bool = False  # the window of an image's own meta, so that files can be compared


def common_window(images: Sequence[ismrmrd.Image]) -> tuple[float, float]:
    """The window of images that are compared by eye: their smallest value to their 99.5th percentile."""
    return _percentiles(np.concatenate([values_shown(image).ravel() for image in images]))


def image_panel(image: ismrmrd.Image, common: Window | None = None, *, source: str = "", protocol: str = "") -> Panel:
    """Window and label one image; complex images are shown as magnitude, phase and quantities on maps of their own.

    `common` is what it shares with others; `source` names its file, `protocol` is what that file's header names.
    """
    pixels, quantity = values_shown(image), _meta(image, "kband_quantity")
    is_phase = image.image_type == ismrmrd.IMTYPE_PHASE
    window, how = _phase_window(pixels) if is_phase else _window(image, pixels, common)
    label = (*_heading(image, source), (" · ".join(filter(None, [*_particulars(image), protocol, how])), QUIET))
    cmap, scale = ("viridis", _scale(image, quantity)) if quantity else ("twilight" if is_phase else "gray", "")
    label += _verdict(image, shown_pixels(image))
    return Panel(pixels, window, label, Geometry.of(image.getHead()), cmap, scale)


def _scale(image: ismrmrd.Image, quantity: str) -> str:
    """What the colours of a map measure, and its unit, where DICOM's word for it stands in the meta: g has none."""
    unit = _meta(image, "RescaleType")
    return f"{quantity} ({unit})" if unit else quantity


def comparison_panels(
    image: ismrmrd.Image, reference: ismrmrd.Image, *, source: str = "", against: str = "reference"
) -> tuple[Panel, Panel, Panel]:
    """Set the magnitude of an image against its reference: image, reference, difference, all in one window.

    The image is first multiplied by the one factor that fits the reference best, since scanners scale freely.
    `against` names the second one.
    """
    own, target, agreement = compare(image, reference)
    window = _percentiles(target)
    geometry = Geometry.of(image.getHead())
    own_label = (*_heading(image, source), (" · ".join([*_particulars(image), "window of the reference"]), QUIET))
    target_label = ((against, TEXT), (f"{_method(reference)} · window 0–99.5\u00a0%", QUIET))
    difference_label = (
        (f"|difference| × {DIFFERENCE_GAIN} · {agreement}", TEXT),
        (f"after one least-squares scale factor, {agreement.factor:.4g}", QUIET),
    )
    return (
        Panel(own, window, own_label + _verdict(image, own), geometry),
        Panel(target, window, target_label, geometry),
        Panel(DIFFERENCE_GAIN * np.abs(own - target), window, difference_label, geometry),
    )


def _window(image: ismrmrd.Image, pixels: np.ndarray, common: Window | None) -> tuple[tuple[float, float], str]:
    if not (common and common.overrides) and not _meta(image, "kband_quantity"):
        try:
            centre, width = float(image.meta["WindowCenter"]), float(image.meta["WindowWidth"])
            return (centre - width / 2, centre + width / 2), f"window centre {centre:g}, width {width:g} (meta)"
        except (KeyError, TypeError, ValueError):
            pass
    limits = common.limits if common else _percentiles(pixels)
    return limits, "window 0–99.5\u00a0%" + (f" of {common.of}" if common else "")


def _percentiles(pixels: np.ndarray) -> tuple[float, float]:
    finite = pixels[np.isfinite(pixels)]
    black, white = np.percentile(finite, (0, 99.5)) if finite.size else (0.0, 1.0)
    return float(black), float(white)


def _phase_window(pixels: np.ndarray) -> tuple[tuple[float, float], str]:
    if np.issubdtype(pixels.dtype, np.integer):
        return (0.0, LARGEST_WHOLE_PHASE), f"window 0 to {LARGEST_WHOLE_PHASE}, cyclic"
    return (-np.pi, np.pi), "window ±π, cyclic"


def _heading(image: ismrmrd.Image, source: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """What made the image, and which one it is."""
    numbers = {"series": image.image_series_index, "slice": image.slice, "contrast": image.contrast}
    numbers["repetition"] = image.repetition
    counters = " · ".join(f"{name}\u00a0{number}" for name, number in numbers.items())
    where = slice_position(image.getHead()).replace(" ", "\u00a0")
    title = " · ".join(filter(None, [_method(image), source]))
    return (title, TEXT), (" · ".join(filter(None, [counters, where])) + part_shown(image), QUIET)


def _method(image: ismrmrd.Image) -> str:
    method, quantity = _meta(image, "kband_method") or "method not given", _meta(image, "kband_quantity")
    return f"{quantity} of {method}" if quantity else method


def _particulars(image: ismrmrd.Image) -> list[str]:
    lines, error = _meta(image, "kband_lines"), _meta(image, "kband_nmse_estimate")
    said = [f"{lines} {'of ' * lines.endswith('number')}lines"] if lines else []
    if share := _meta(image, "kband_denoising"):
        said.append(f"denoising {share}")
    if error:
        said.append(f"NMSE about {float(error):.3f} by {_meta(image, 'kband_held_out_lines')} held-out lines")
    if bound := _meta(image, "kband_nmse_bound"):
        said.append(f"NMSE ≤ {bound} with {100 * float(_meta(image, 'kband_nmse_bound_level')):g} % on simulated scans")
    return said


def _verdict(image: ismrmrd.Image, pixels: np.ndarray) -> tuple[tuple[str, str], ...]:
    verdict = []
    fallback, complete = _meta(image, "kband_fallback"), _meta(image, "kband_complete")
    if fallback not in ("", "no"):
        verdict.append((f"FALLBACK: {fallback}", RED))
    if complete == "no":
        verdict.append((f"INCOMPLETE: {_meta(image, 'kband_lines') or 'not all'} lines", RED))
    if (chosen := _meta(image, "kband_active")).startswith("stopped"):
        verdict.append((chosen.partition(",")[0].replace("stopped", "stopped on purpose", 1), AMBER))
    if (consistency := _meta(image, "kband_consistency")) not in ("", "good", "unknown"):
        verdict.append((f"INCONSISTENT: {consistency}", RED))
    if complete == "unknown":
        verdict.append(("not known whether all lines arrived", AMBER))
    if n_bad := int(np.count_nonzero(~np.isfinite(pixels))):
        verdict.append((f"{n_bad:,} {plural(n_bad, 'pixel is no number', 'pixels are not numbers')}", RED))
    return tuple(verdict)


def _meta(image: ismrmrd.Image, key: str) -> str:
    value = image.meta.get(key) or ""
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
