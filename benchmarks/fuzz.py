"""Look for bytes that this software does not foresee: `python -m benchmarks.fuzz --minutes 5` in the repository."""

from __future__ import annotations

import logging
import time
import traceback
import warnings

import click
from hypothesis import HealthCheck, given, settings

from tests.streaming.fuzz_targets import Target, targets

ROUND = 200  # examples before the next target has its turn


@click.command(help=__doc__)
@click.option("--minutes", default=5.0, show_default=True, help="How long to look, all targets together.")
@click.option("--only", type=click.Choice(list(targets())), help="One target alone.")
def main(minutes: float, only: str | None) -> None:
    """Print how many examples were tried for each target, and every finding once, with a smallest example."""
    logging.disable()
    warnings.simplefilter("ignore")  # xsdata's, one for each value it cannot convert
    chosen = {name: target for name, target in targets().items() if only in (None, name)}
    counts, findings = dict.fromkeys(chosen, 0), {}
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        for name, target in chosen.items():
            n_examples, finding = _round(target)
            counts[name] += n_examples
            if finding and (name, finding[0]) not in findings:
                findings[name, finding[0]] = finding[1]
                print(f"{name}: {finding[0]}\n{finding[1]}", flush=True)
    for name, n_examples in counts.items():
        n_findings = sum(found == name for found, _ in findings)
        print(f"{name}: {n_examples:,} examples, {n_findings} findings")
    print(f"{sum(counts.values()):,} examples in {minutes:g} minutes, {len(findings)} findings")


def _round(target: Target) -> tuple[int, tuple[str, str] | None]:
    """Try new examples: how many, and where and with what the first one failed."""
    n_examples = 0

    def counted(example: object) -> None:
        nonlocal n_examples
        n_examples += 1
        target.check(example)

    how = settings(
        max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    try:
        how(given(target.strategy)(counted))()
    except Exception as error:  # noqa: BLE001 - a finding is whatever was not foreseen
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {last.name}, line {last.lineno}"
        return n_examples, (where, "".join(traceback.format_exception(error)))
    return n_examples, None


if __name__ == "__main__":
    main()
