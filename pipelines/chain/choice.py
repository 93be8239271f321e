"""Which installed pipeline a scan is for, by its header and its first line, and why."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from gadgets.coils.coil_compression import CoilCompression
from gadgets.encoding import Encoding
from gadgets.errors import PipelineError
from gadgets.mrd import ismrmrd
from gadgets.receiving.role import Role, role_of
from gadgets.recon.kband_recon import KBandRecon
from gadgets.recon.nufft_kband_recon import NufftKBandRecon
from gadgets.scan import Scan
from kband_core.models import load_card
from pipelines.chain.pipeline import Pipeline, installed_xml

STRONG = 4  # from this acceleration on, GRAPPA's noise is worth a network fitted at the scanner

Answer: TypeAlias = tuple[bool, str]  # whether a pipeline is for the scan, and why or why not
NOT_ASKED: Answer = (False, "")


@dataclass(frozen=True)
class Choice:
    """A pipeline, and the sentence that says why."""

    pipeline: str
    reason: str


@dataclass(frozen=True)
class Signs:
    """What is known before the scan has run: its first encoding, and the first line that shows the object, if any."""

    encoding: Encoding
    line: ismrmrd.Acquisition | None

    @property
    def is_calibrated(self) -> bool:
        """Whether calibration lines are announced, or the first line is one."""
        comes_first = self.line is not None and role_of(self.line).calibrates
        return self.encoding.calibration_mode is not None or comes_first


def choose(scan: Scan, lines: Iterable[ismrmrd.Acquisition]) -> tuple[Choice, Iterator[ismrmrd.Acquisition]]:
    """Choose the pipeline of a scan, and return all its lines: those that were looked at stand in front again."""
    ahead, rest = [], iter(lines)
    for line in rest:
        ahead.append(line)
        if role_of(line) is not Role.FOREIGN:
            break
    shown = ahead[-1] if ahead and role_of(ahead[-1]) is not Role.FOREIGN else None
    return _choice(Signs(scan.encodings[0], shown)), itertools.chain(ahead, rest)


def _choice(signs: Signs) -> Choice:
    """Take the first row of the table that is for the scan; what speaks against those before it is said as well."""
    against = []
    for row in TABLE:
        if signs.encoding.trajectory not in row.trajectories:
            continue
        is_for_it, reason = row.answer(signs, row.pipeline)
        if is_for_it:
            return Choice(row.pipeline, "; ".join([reason, *against]))
        against += [f"not {row.pipeline}: {reason}"] if reason else []
    raise PipelineError(f"auto: no pipeline is for the trajectory {signs.encoding.trajectory}")


def _trajectory(signs: Signs, _: str) -> Answer:
    return True, f"the trajectory is {signs.encoding.trajectory}"


def _several_slices(signs: Signs, _: str) -> Answer:
    n_slices = signs.encoding.multiband
    return (True, f"{n_slices} slices are excited at once") if n_slices > 1 else NOT_ASKED


def _spokes(signs: Signs, pipeline: str) -> Answer:
    """Ask the card for matrix and coils; the gadget asks again for the spokes and the noise."""
    gadgets = Pipeline.from_xml(installed_xml(pipeline)).gadgets
    model = next(gadget.model for gadget in gadgets if isinstance(gadget, NufftKBandRecon))
    most = next(gadget.n_coils for gadget in gadgets if isinstance(gadget, CoilCompression))
    x, y, _ = signs.encoding.recon_matrix
    coils = None if signs.line is None else min(signs.line.active_channels, most)
    return _asked(model, matrix=(y, x), sampling="spokes", coils=coils)


def _network(signs: Signs, pipeline: str) -> Answer:
    """Ask the card for what is known already; the gadget asks again for what the data show."""
    gadgets = Pipeline.from_xml(installed_xml(pipeline)).gadgets
    model = next(gadget.model for gadget in gadgets if isinstance(gadget, KBandRecon))
    most = next(gadget.n_coils for gadget in gadgets if isinstance(gadget, CoilCompression))
    encoding = signs.encoding
    calibrates_image = encoding.acceleration[0] == 1 or (signs.is_calibrated and not encoding.calibrates_apart)
    return _asked(
        model,
        matrix=(encoding.encoded_matrix[1], encoding.readout_samples),
        sampling="samples" if encoding.accelerates_partitions else "lines",
        spacing=encoding.acceleration[0],
        coils=None if signs.line is None else min(signs.line.active_channels, most),
        acs_lines=None if calibrates_image else 1,  # of the grid, in the centre
    )


def _asked(model: str, **facts: Any) -> Answer:
    """Ask a model's card."""
    try:
        problems = load_card(model).mismatch(**facts)
    except ValueError as error:
        return False, str(error)
    return not problems, "; ".join(problems) or f"header and coils are like what {model} was trained on"


def _strongly_accelerated(signs: Signs, pipeline: str) -> Answer:
    return _accelerated(signs, pipeline) if signs.encoding.acceleration[0] >= STRONG else NOT_ASKED


def _accelerated(signs: Signs, _: str) -> Answer:
    encoding = signs.encoding
    if encoding.acceleration[0] == 1 or encoding.accelerates_partitions or not signs.is_calibrated:
        return NOT_ASKED
    return True, f"R={encoding.acceleration[0]} with {encoding.calibration_mode or 'flagged'} calibration lines"


def _any(signs: Signs, _: str) -> Answer:
    along_1, along_2 = signs.encoding.acceleration
    if signs.encoding.accelerates_partitions:
        return True, f"R={along_1} × {along_2} along both encoding steps"
    return True, "no line is left out" if along_1 == 1 else f"R={along_1} without calibration lines"


class Row(NamedTuple):
    """A pipeline, the trajectories it is for, and whether it is for a scan of them."""

    pipeline: str
    trajectories: tuple[str, ...]
    answer: Callable[[Signs, str], Answer]


# Read from above; the first row that is for a scan is taken.
TABLE = (
    Row("radial_kband", ("radial", "goldenangle"), _spokes),
    Row("radial", ("radial", "goldenangle"), _trajectory),
    Row("spiral", ("spiral", "other"), _trajectory),
    Row("epi_multiband_sense", ("epi",), _several_slices),
    Row("multiband_sense", ("cartesian",), _several_slices),
    Row("epi_kband", ("epi",), _network),
    Row("epi_grappa", ("epi",), _accelerated),
    Row("epi_sense", ("epi",), _any),
    Row("kband", ("cartesian",), _network),
    Row("raki", ("cartesian",), _strongly_accelerated),
    Row("grappa", ("cartesian",), _accelerated),
    Row("sense", ("cartesian",), _any),
)
