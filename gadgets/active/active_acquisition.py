"""The scanner asks which line to measure next, and is told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch

from gadgets.active.chosen_image import ChosenImage, Terms
from gadgets.active.feedback import Feedback
from gadgets.encoding import Encoding
from gadgets.errors import PipelineError, ScanError
from gadgets.gadget import Gadget, field
from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.receiving.image_lines import ImageKey
from gadgets.receiving.noted_line import NotedLine
from gadgets.receiving.role import Role, role_of
from gadgets.scan import Scan, require_cartesian
from kband_core.active.line_chooser import LineChooser
from kband_core.active.orders import central
from kband_core.active.quick_image import COILS
from kband_core.models import load_card, load_model
from kband_core.networks.line_evaluator import LineEvaluator

LAST = ismrmrd.ACQ_LAST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_SLICE


@dataclass
class ActiveAcquisition(Gadget):
    """Let lines pass, and say after each, of which image line is most wrong: the scanner measures it next.

    An image begins with its `acs_lines` central lines, in any order. From then on each line is answered by a decision
    for the line that is `lookahead` lines later, and the image is stopped when it is good enough. It is computed on a
    quick image of few samples and coils, between two lines. A decision that takes longer than `deadline` is not sent:
    the scanner has gone on in an order of its own. Who does not follow is not stopped; of lines or coils unlike those
    that the evaluator has seen, only `lines` stops.

    Images come one after another, of whole lines, and say how many lines they have, and why no more.
    """

    accepts: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)
    emits: ClassVar[tuple[type, ...]] = (ismrmrd.Acquisition,)

    model: Annotated[str, field(description="name of a trained line evaluator")] = "simulated_lines"
    acs_lines: Annotated[int, field(ge=8, le=64, description="central lines that each image begins with")] = 12
    lines: Annotated[int, field(ge=0, le=65535, description="lines of an image at most; 0: all of the header's")] = 0
    target: Annotated[
        float, field(ge=0, le=1, description="stop an image if 9 in 10 simulated ones alike have less NMSE; 0: do not")
    ] = 0.0
    lookahead: Annotated[int, field(ge=1, le=16, description="decide for the line so many lines ahead")] = 1
    deadline: Annotated[float, field(gt=0, le=10000, description="ms a decision may take")] = 100.0
    ranks: Annotated[int, field(ge=1, le=64, description="lines that a decision names, the best first")] = 4
    feedback: Annotated[
        Literal["host", "scanner"],
        field(description="who hears decisions: host, which may pass them on as JSON; scanner: a FIRE client as well"),
    ] = "host"

    def look_up(self) -> None:
        """Load the evaluator."""
        try:
            self._card = load_card(self.model)
            self._evaluator = load_model(self._card)
        except ValueError as error:
            raise PipelineError(f"ActiveAcquisition.model: {error}") from error
        if not isinstance(self._evaluator, LineEvaluator):
            raise PipelineError(f"ActiveAcquisition.model: '{self.model}' makes images, it chooses no lines")

    def open(self, scan: Scan) -> None:
        """Refuse scans whose lines are chosen already, or that have more than single slices."""
        self.look_up()
        require_cartesian(scan, "ActiveAcquisition")
        for encoding in scan.encodings:
            if problem := self._problem(encoding, announces_lines=scan.announces_step1(encoding.index)):
                raise PipelineError(f"ActiveAcquisition: encoding {encoding.index} {problem}")
        self._scan = scan

    def scan_behind(self, scan: Scan) -> Scan:
        """Tell gadgets behind that the header does not say which lines come."""
        return replace(scan, encodings=tuple(replace(each, chosen=self._most(each)) for each in scan.encodings))

    def process(self, lines: Iterable[ismrmrd.Acquisition]) -> Iterator[ismrmrd.Acquisition | Aside]:
        """Emit all lines but those that come after a stop. Raises `ScanError` if images are interleaved, and behind the
        last line if central lines of an image are missing.
        """
        image, key, uncalibrated = None, None, {}
        for line in lines:
            if role_of(line) not in (Role.IMAGE, Role.BOTH) or not self._scan.has_encoding(line.encoding_space_ref):
                yield line
                continue
            if ImageKey.of(line) != key:
                yield from self._end(key, image)
                key = ImageKey.of(line)
                if key in uncalibrated:
                    raise ScanError(f"ActiveAcquisition: {key} goes on after another image; one after another expected")
                image = self._begin(line)
                line = NotedLine.of(line, image.notes)
            yield from self._passed(image, line)
            uncalibrated[key] = image.lacking()
        yield from self._end(key, image)
        for key, lacking in uncalibrated.items():
            if lacking:
                raise ScanError(
                    f"ActiveAcquisition: {key}: calibration is missing, {len(lacking)} of the {self.acs_lines} central "
                    f"lines did not come (first step {lacking[0]}), so no line was chosen"
                )

    def _passed(self, image: ChosenImage, line: ismrmrd.Acquisition) -> Iterator[ismrmrd.Acquisition | Aside]:
        if image.is_over:
            image.n_surplus += 1
            return
        if image.add(line):
            yield from self._decided(image, line)
            if image.is_over:
                line = ismrmrd.Acquisition(line.getHead(), line.data, line.traj)
                for flag in LAST:
                    line.set_flag(flag)
        yield line

    def _decided(self, image: ChosenImage, line: ismrmrd.Acquisition) -> Iterator[Aside]:
        started = time.perf_counter()
        decision = image.decide()
        if decision is None:
            return
        took_ms = 1000 * (time.perf_counter() - started)
        image.longest_ms = max(image.longest_ms, took_ms)
        if took_ms > self.deadline:
            image.n_late += 1
            return
        steps = image.settle(decision)
        told = Feedback(
            steps, line.idx.kspace_encode_step_2, decision.scores if steps else (), not steps, line.scan_counter,
            line.scan_counter + self.lookahead,
        )  # fmt: skip
        text = f"measure line {steps[0]}" if steps else "enough lines"
        text = f"{text} ({image.n_lines} so far, NMSE told {decision.nmse:.2g})"
        kind = "feedback" if self.feedback == "scanner" else "decision"
        yield Aside(kind, text, told.waveform(line.measurement_uid))

    def _begin(self, line: ismrmrd.Acquisition) -> ChosenImage:
        encoding = self._scan.encoding(line.encoding_space_ref)
        n_coils = min(line.active_channels, COILS)  # of more, so many virtual ones are looked at
        unlike = self._card.mismatch(matrix=(encoding.encoded_matrix[1],) * 2, coils=n_coils)
        target = 0.0 if unlike else self.target  # nobody has told how far to trust the error there
        terms = Terms(self._most(encoding), target, self.lookahead, self.ranks)
        measurable = torch.from_numpy(encoding.inside.any(0))
        chooser = LineChooser(self._evaluator, encoding.encoded_matrix[1], self.acs_lines, measurable)
        image = ChosenImage(encoding, chooser, terms)
        if unlike:
            image.notes["kband_active_outside"] = "; ".join(unlike)
        return image

    def _end(self, key: ImageKey | None, image: ChosenImage | None) -> Iterator[Aside]:
        if image is not None and (told := image.sum_up()):
            yield Aside("warning", f"ActiveAcquisition: {key}: {told}")

    def _most(self, encoding: Encoding) -> int:
        return min(self.lines or len(encoding.step1), len(encoding.step1))

    def _problem(self, encoding: Encoding, *, announces_lines: bool) -> str | None:
        n_steps = len(encoding.step1)
        if not announces_lines:
            return "does not say which steps 1 there are; limits of kspace_encoding_step_1 are needed"
        if encoding.encoded_matrix[2] > 1:
            return f"has {encoding.encoded_matrix[2]} partitions; single slices expected"
        if encoding.total_acceleration > 1:
            return f"announces R={encoding.total_acceleration}: its lines are chosen already; R=1 expected"
        if encoding.n_averages > 1:
            return f"has {encoding.n_averages} averages; lines are chosen once"
        if self.lines and not self.acs_lines < self.lines:
            return f"begins with {self.acs_lines} lines, so lines={self.lines} leaves none to choose"
        n_rows = encoding.encoded_matrix[1]
        if not self.acs_lines < n_steps <= n_rows or not encoding.inside.any(0)[central(n_rows, self.acs_lines)].all():
            return f"has {n_steps} lines, more than the {self.acs_lines} central ones that calibrate expected"
        return None
