"""Encodings as they stand in an MRD header, every number checked: writers of headers differ in what they call one."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from typing import Any

from gadgets.encoding import Encoding, Limit

log = logging.getLogger(__name__)

COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set")
LARGEST_MATRIX = (8192, 4096, 2048)  # x, y, z: bounds what a header can make us allocate
LARGEST_PLANE = 1 << 23  # of x and y together: a plane of 4,096 by 2,048 takes a minute
LARGEST_COUNTER = 65535
SHORTEST, LONGEST = 1e-3, 1e5  # mm, of a field of view
MOST_OVERSAMPLING = 32  # times that fields of view differ by which one axis is read and shown
MOST_TAGS = 100_000  # of a header, which has hundreds: a million of them take a minute to parse
TRAJECTORIES = ("cartesian", "epi", "radial", "goldenangle", "spiral", "other")
LINE_BY_LINE = ("cartesian", "epi")  # encoding step 1 is a row of the matrix
AXES = ("x", "y", "z")
DECLARED = re.compile(r"""(\s*<\?xml\b[^>]*?)\s+encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
LONGEST_DECLARATION = 200


def header_text(xml: bytes | str) -> str:
    """Return a header as text, read by the encoding it declares, if it is one; the declaration no longer names it.

    Raises `ValueError` for one of more tags than anybody can wait for.
    """
    if isinstance(xml, bytes):
        declared = DECLARED.match(xml[:LONGEST_DECLARATION].decode("latin-1"))
        xml = _decoded(xml, declared[2] if declared else "utf-8")
    if (n_tags := xml.count("<")) > MOST_TAGS:
        raise ValueError(f"it has {n_tags:,} tags, at most {MOST_TAGS:,} are read")
    beginning, rest = xml[:LONGEST_DECLARATION], xml[LONGEST_DECLARATION:]  # of all of it blanks would take for ever
    return (DECLARED.sub(r"\1", beginning, count=1) + rest).rstrip("\0")


def _decoded(xml: bytes, encoding: str) -> str:
    try:
        text = xml.decode(encoding)
        if "<" in text:
            return text
    except (LookupError, ValueError):
        pass
    return xml.decode("utf-8", errors="replace")


def read_encoding(index: int, encoding: Any) -> Encoding:
    """Read one encoding of a parsed MRD header. Raises `ValueError`, naming element and value, for what cannot be."""
    who, limits = f"encoding {index}", encoding.encodingLimits
    matrix, parallel = _matrix(encoding.encodedSpace, f"{who}: encoded matrix"), encoding.parallelImaging
    factor = parallel.accelerationFactor if parallel else None
    mode = parallel.calibrationMode if parallel else None
    trajectory = _word(encoding.trajectory, f"{who}: trajectory", TRAJECTORIES)
    step1, flaw = _step_limit(limits, "kspace_encoding_step_1", matrix[1], index), None
    if trajectory in LINE_BY_LINE:
        step1, flaw = _fitting(step1, matrix[1])
    if flaw:
        log.warning("MRD header: %s: %s", who, flaw)
    encoded_fov = _fov(encoding.encodedSpace, f"{who}: encoded field of view")
    recon_fov = _fov(encoding.reconSpace, f"{who}: recon field of view")
    _check_shown(encoded_fov, recon_fov, who)
    return _without_empty_partitions(
        Encoding(
            index=index,
            trajectory=trajectory,
            encoded_matrix=matrix,
            encoded_fov=encoded_fov,
            recon_matrix=_matrix(encoding.reconSpace, f"{who}: recon matrix"),
            recon_fov=recon_fov,
            step1=step1,
            step2=_step_limit(limits, "kspace_encoding_step_2", matrix[2], index),
            counters={name: _limit(getattr(limits, name, None), f"{who}: {name}") for name in COUNTERS},
            acceleration=_acceleration(factor, matrix, who) if factor else (1, 1),
            calibration_mode=_word(mode, f"{who}: calibrationMode", None) if mode else None,
            multiband=_multiband(parallel),
            flaw=flaw,
        )
    )


def number(given: Any, what: str) -> float:
    """Return a number of the header, which a writer may have written as it liked. Raises `ValueError` if it is none."""
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} is '{given}', expected a number")
    return value


def _whole(given: Any, what: str) -> int:
    value = number(given, what)
    if value != int(value):
        raise ValueError(f"{what} is {given}, expected a whole number")
    return int(value)


def _word(given: Any, what: str, known: tuple[str, ...] | None) -> str:
    """A word that the schema lists, as the parser returns it; what it does not list is left as text."""
    value = getattr(given, "value", given)
    if value is given or (known and value not in known):
        raise ValueError(f"{what} is '{given}', expected {', '.join(known or ('a mode that MRD knows',))}")
    return value


def _acceleration(factor: Any, matrix: tuple[int, int, int], who: str) -> tuple[int, int]:
    found = []
    for name, size in zip(("kspace_encoding_step_1", "kspace_encoding_step_2"), matrix[1:], strict=True):
        along = _whole(getattr(factor, name), f"{who}: acceleration along {name}")
        if not 1 <= along <= size:
            raise ValueError(f"{who}: acceleration along {name} is {along}, expected 1 to {size}")
        found.append(along)
    return found[0], found[1]


def _multiband(parallel: Any) -> int:
    multiband = getattr(parallel, "multiband", None)
    return max(_whole(multiband.multiband_factor, "multiband factor"), 1) if multiband else 1


def _step_limit(limits: Any, name: str, size: int, index: int) -> Limit:
    limit = _limit(getattr(limits, name, None), f"encoding {index}: {name}")
    if limit is None and size > 1:
        log.warning("MRD header: encoding %d has no limits for %s; 0 to %d assumed", index, name, size - 1)
    return limit or Limit(0, size - 1, size // 2)


def _fitting(limit: Limit, size: int) -> tuple[Limit, str | None]:
    """Limits with a centre that lets their lines lie within `size` rows, and what was wrong with the header's.

    If they fill the matrix there is one such centre, and it is taken; otherwise lines beyond the matrix are set aside.
    """
    first, last = (step + size // 2 - limit.center for step in (limit.minimum, limit.maximum))
    if first >= 0 and last < size:
        return limit, None
    flaw = f"steps {limit.minimum} to {limit.maximum} with centre {limit.center} do not fit {size} rows"
    if len(limit) != size:
        return limit, flaw
    centre = limit.minimum + size // 2
    return replace(limit, center=centre), f"{flaw}; {centre} is taken for the centre"


def _without_empty_partitions(encoding: Encoding) -> Encoding:
    """An encoding of single slices, though its matrix has partitions: of as many slices, or of none at all."""
    n_partitions, n_shown = encoding.encoded_matrix[2], encoding.recon_matrix[2]
    if n_partitions == 1 or len(encoding.step2) > 1:
        return encoding
    log.warning("MRD header: encoding %d has %d partitions, but one step 2: taken for single slices",
                encoding.index, n_partitions)  # fmt: skip
    return replace(
        encoding,
        encoded_matrix=(*encoding.encoded_matrix[:2], 1),
        recon_matrix=(*encoding.recon_matrix[:2], 1),
        recon_fov=(*encoding.recon_fov[:2], encoding.recon_fov[2] / n_shown),
        step2=Limit(encoding.step2.minimum, encoding.step2.maximum, encoding.step2.minimum),
    )


def _limit(given: Any, what: str) -> Limit | None:
    if given is None:
        return None
    limit = Limit(*(_whole(getattr(given, name) or 0, f"{what} {name}") for name in ("minimum", "maximum", "center")))
    if not 0 <= limit.minimum <= limit.maximum <= LARGEST_COUNTER:
        raise ValueError(f"{what} runs from {limit.minimum} to {limit.maximum}, expected 0 to {LARGEST_COUNTER}")
    return limit


def _matrix(space: Any, what: str) -> tuple[int, int, int]:
    x, y, z = (_whole(getattr(space.matrixSize, axis), f"{what} {axis}") for axis in AXES)
    if any(not 1 <= n <= most for n, most in zip((x, y, z), LARGEST_MATRIX, strict=True)):
        raise ValueError(f"{what} is {(x, y, z)}, expected 1 to {LARGEST_MATRIX}")
    if x * y > LARGEST_PLANE:
        raise ValueError(f"{what} has planes of {x} × {y}, at most {LARGEST_PLANE:,} samples expected")
    return x, y, z


def _fov(space: Any, what: str) -> tuple[float, float, float]:
    x, y, z = (number(getattr(space.fieldOfView_mm, axis), f"{what} {axis}") for axis in AXES)
    if any(not SHORTEST <= length <= LONGEST for length in (x, y, z)):
        raise ValueError(f"{what} is {(x, y, z)} mm, expected {SHORTEST:g} to {LONGEST:,.0f} mm")
    return x, y, z


def _check_shown(encoded: tuple[float, float, float], shown: tuple[float, float, float], who: str) -> None:
    """Refuse fields of view of which one can only be a mistake: images would have no pixel, or billions."""
    for axis, ours, theirs in zip(AXES[:2], encoded, shown, strict=False):
        if not 1 / MOST_OVERSAMPLING <= ours / theirs <= MOST_OVERSAMPLING:
            raise ValueError(
                f"{who}: along {axis} {ours:g} mm are encoded and {theirs:g} mm are to be shown, expected at most "
                f"{MOST_OVERSAMPLING} times more or less"
            )
