"""One answer, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = ("what", "aim", "got", "", "CPU / GPU", "MB", "remark")


@dataclass(frozen=True)
class Row:
    """What was asked, what came out, and what was hoped for.

    `got` and `aim` in `unit`; `more_is_better` of a speed-up. `cpu`: the same on the CPU of that machine, or None where
    that takes too long. `megabytes`: the most that torch had allocated on the GPU. `flaw`: why nothing came out.
    """

    what: str
    got: float | None = None
    unit: str = "ms"
    aim: float | None = None
    more_is_better: bool = False
    cpu: float | None = None
    megabytes: float | None = None
    note: str = ""
    flaw: str = ""

    def verdict(self) -> str:
        """Whether it is as good as hoped; nothing where nothing was hoped for."""
        if self.flaw:
            return "no result"
        if self.aim is None or self.got is None:
            return ""
        return "reached" if (self.got >= self.aim if self.more_is_better else self.got <= self.aim) else "missed"

    def cells(self) -> tuple[str, ...]:
        """The row of a table, as `COLUMNS` name them."""
        unit = f" {self.unit}" if self.unit else ""
        aim = "" if self.aim is None else f"{'≥' if self.more_is_better else '≤'} {self.aim:.4g}{unit}"
        got = "" if self.got is None else f"{self.got:.3g}{unit}"
        times = f"{self.cpu / self.got:.1f}" if self.cpu and self.got else ""
        memory = "" if self.megabytes is None else f"{self.megabytes:.0f}"
        return self.what, aim, got, self.verdict(), times, memory, self.flaw or self.note
