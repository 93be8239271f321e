"""What a scanner is told of lines to measure: one MRD waveform, written and read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gadgets.mrd import ismrmrd

WAVEFORM_ID = 1024  # below are those of physiological signals
ROWS = ("ky", "kz", "score", "flags", "last readout")
STOP = 1
LARGEST = 2**32 - 1
MILLIONTHS = 1e6


@dataclass(frozen=True)
class Feedback:
    """Lines to measure, the best first, or that there are enough.

    steps    encoding step 1 of each line; at `stop` none, for nothing is to be measured any more
    kz       encoding step 2 of all of them
    scores   shares of the image's squared error that lie in these lines
    stop     whether the image needs no line beyond those that come before readout `applies_to`
    after    scan counter of the last readout that was looked at
    applies_to  scan counter of the readout that the decision is for
    """

    steps: tuple[int, ...]
    kz: int
    scores: tuple[float, ...]
    stop: bool
    after: int
    applies_to: int

    def waveform(self, measurement: int) -> ismrmrd.Waveform:
        """Write it as uint32 `[ROWS, line]`, scores in millionths; at a stop as one column without a line."""
        columns = list(zip(self.steps, self.scores, strict=True)) or [(0, 0.0)]
        data = np.zeros((len(ROWS), len(columns)), np.uint32)
        for n, (step, score) in enumerate(columns):
            data[:, n] = step, self.kz, min(round(score * MILLIONTHS), LARGEST), STOP * self.stop, self.after
        return ismrmrd.Waveform.from_array(
            data, waveform_id=WAVEFORM_ID, scan_counter=self.applies_to, measurement_uid=measurement
        )

    @classmethod
    def read(cls, waveform: ismrmrd.Waveform) -> Feedback | None:
        """Read such a waveform; None if it is another. Raises `ValueError` for one that says nothing."""
        if waveform.waveform_id != WAVEFORM_ID:
            return None
        if waveform.channels != len(ROWS) or waveform.number_of_samples < 1:
            raise ValueError(
                f"feedback: a waveform of {waveform.channels} by {waveform.number_of_samples}, {len(ROWS)} rows and a "
                "column for each line expected"
            )
        steps, kz, scores, flags, after = waveform.data.tolist()
        stop = bool(flags[0] & STOP)
        return cls(
            () if stop else tuple(steps), kz[0], () if stop else tuple(score / MILLIONTHS for score in scores), stop,
            after[0], waveform.scan_counter,
        )  # fmt: skip

    def facts(self) -> dict[str, object]:
        """The same for those who read no MRD, as JSON can hold it."""
        both = zip(self.steps, self.scores, strict=True)
        lines = [{"ky": step, "kz": self.kz, "score": score} for step, score in both]
        return {"after": self.after, "applies_to": self.applies_to, "stop": self.stop, "lines": lines}
