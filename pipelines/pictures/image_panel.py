"""What is shown of one MRD image: pixels, window, and lines of text; what is wrong with it is said in red."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gadgets.mrd import ismrmrd
from pipelines.pictures.comparison import compare, part_shown, shown_pixels

TEXT, QUIET, AMBER, RED = "#f0f0f0", "#a8aeb4", "#ffc04d", "#ff5a52"
DIFFERENCE_GAIN = 5
LARGEST_WHOLE_PHASE = 4095  # phase images converted to whole numbers


@dataclass(frozen=True)
class Panel:
    """A picture ready to be drawn: pixels (y, x), the values of black and white, lines of text with their colours."""

    pixels: np.ndarray
    window: tuple[float, float]
    label: tuple[tuple[str, str], ...]
    header: ismrmrd.ImageHeader
    cmap: str = "gray"


def common_window(images: Sequence[ismrmrd.Image]) -> tuple[float, float]:
    """The window of images that are compared by eye: their smallest value to their 99.5th percentile."""
    return _percentiles(np.concatenate([shown_pixels(image).ravel() for image in images]))


def image_panel(image: ismrmrd.Image, common: tuple[float, float] | None = None) -> Panel:
    """Window and label one image; complex images are shown as magnitude, phase and quantities on maps of their own.

    `common` is the window of its series, for an image whose meta gives none.
    """
    pixels, part = shown_pixels(image), part_shown(image)
    is_phase, quantity = image.image_type == ismrmrd.IMTYPE_PHASE, _meta(image, "kband_quantity")
    if quantity:
        return _quantity_panel(image, quantity, pixels, part)
    window, how = _phase_window(pixels) if is_phase else _window(image, pixels, common)
    label = (_counters(image, part), (f"{_method(image)} · window {how}", QUIET), *_verdict(image, pixels))
    return Panel(pixels, window, label, image.getHead(), "twilight" if is_phase else "gray")


def _quantity_panel(image: ismrmrd.Image, quantity: str, pixels: np.ndarray, part: str) -> Panel:
    """Show a map in its unit, which the meta's rescale gives to whole-number pixels; zero means no value."""
    if np.issubdtype(pixels.dtype, np.integer):
        slope, intercept = (float(_meta(image, f"Rescale{name}") or default) for name, default in
                            (("Slope", 1), ("Intercept", 0)))  # fmt: skip
        pixels = pixels * slope + intercept
    values = pixels[pixels > 0]
    window = _percentiles(values) if values.size else (0.0, 1.0)
    text = f"{quantity} of {_method(image)} · window {window[0]:.3g} to {window[1]:.3g}"
    label = (_counters(image, part), (text, QUIET), *_verdict(image, pixels))
    return Panel(np.where(pixels > 0, pixels, np.nan), window, label, image.getHead(), "viridis")


def comparison_panels(image: ismrmrd.Image, reference: ismrmrd.Image) -> tuple[Panel, Panel, Panel]:
    """Set the magnitude of an image against its reference: image, reference, difference, all in one window.

    The image is first multiplied by the one factor that fits the reference best, since scanners scale freely.
    """
    own, target, agreement = compare(image, reference)
    window = _percentiles(target)
    head = image.getHead()
    own_label = (_counters(image, part_shown(image)), (f"{_method(image)} · window of the reference", QUIET))
    target_label = (("reference", TEXT), (f"{_method(reference)} · window 0–99.5\u00a0%", QUIET))
    difference_label = (
        (f"|difference| × {DIFFERENCE_GAIN} · {agreement}", TEXT),
        (f"after one least-squares scale factor, {agreement.factor:.4g}", QUIET),
    )
    return (
        Panel(own, window, own_label + _verdict(image, own), head),
        Panel(target, window, target_label, head),
        Panel(DIFFERENCE_GAIN * np.abs(own - target), window, difference_label, head),
    )


def _window(
    image: ismrmrd.Image, pixels: np.ndarray, common: tuple[float, float] | None
) -> tuple[tuple[float, float], str]:
    try:
        centre, width = float(image.meta["WindowCenter"]), float(image.meta["WindowWidth"])
    except (KeyError, TypeError, ValueError):
        return (common, "0–99.5\u00a0% of the series") if common else (_percentiles(pixels), "0–99.5\u00a0%")
    return (centre - width / 2, centre + width / 2), f"centre {centre:g}, width {width:g} (meta)"


def _percentiles(pixels: np.ndarray) -> tuple[float, float]:
    finite = pixels[np.isfinite(pixels)]
    black, white = np.percentile(finite, (0, 99.5)) if finite.size else (0.0, 1.0)
    return float(black), float(white)


def _phase_window(pixels: np.ndarray) -> tuple[tuple[float, float], str]:
    if np.issubdtype(pixels.dtype, np.integer):
        return (0.0, LARGEST_WHOLE_PHASE), f"0 to {LARGEST_WHOLE_PHASE}, cyclic"
    return (-np.pi, np.pi), "±π, cyclic"


def _counters(image: ismrmrd.Image, part: str) -> tuple[str, str]:
    numbers = {"series": image.image_series_index, "slice": image.slice, "contrast": image.contrast}
    numbers["repetition"] = image.repetition
    return " · ".join(f"{name}\u00a0{number}" for name, number in numbers.items()) + part, TEXT


def _method(image: ismrmrd.Image) -> str:
    lines, error = _meta(image, "kband_lines"), _meta(image, "kband_nmse_estimate")
    said = [_meta(image, "kband_method") or "method not given", f"{lines} lines" if lines else ""]
    if error:
        said.append(f"NMSE about {float(error):.3f} by {_meta(image, 'kband_held_out_lines')} held-out lines")
    return " · ".join(filter(None, said))


def _verdict(image: ismrmrd.Image, pixels: np.ndarray) -> tuple[tuple[str, str], ...]:
    verdict = []
    fallback, complete = _meta(image, "kband_fallback"), _meta(image, "kband_complete")
    if fallback not in ("", "no"):
        verdict.append((f"FALLBACK: {fallback}", RED))
    if complete == "no":
        verdict.append((f"INCOMPLETE: {_meta(image, 'kband_lines') or 'not all'} lines", RED))
    if (consistency := _meta(image, "kband_consistency")) not in ("", "good", "unknown"):
        verdict.append((f"INCONSISTENT: {consistency}", RED))
    if complete == "unknown":
        verdict.append(("not known whether all lines arrived", AMBER))
    if n_bad := int(np.count_nonzero(~np.isfinite(pixels))):
        verdict.append((f"{n_bad:,} pixels are not numbers", RED))
    return tuple(verdict)


def _meta(image: ismrmrd.Image, key: str) -> str:
    value = image.meta.get(key) or ""
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
