"""Lines received of those announced: what a radiographer wants to see grow, and to see stop short."""

import pytest

from gadgets.receiving.role import role_of
from gadgets.scan import Scan
from pipelines.page.line_tally import LineTally, announced_lines
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan

GRID = 2 * 32  # two slices, every second of 64 lines


def tally(scan: tuple, lines: list) -> LineTally:
    counted = LineTally(Scan.from_xml(scan[0]))
    for line in lines:
        counted.add(bytes(line.getHead()))
    return counted


def test_all_lines_of_the_grid_are_counted(scan):
    """Calibration lines between them, and noise, come on top."""
    counted = tally(scan, scan[1])
    assert (counted.on_grid, counted.announced, counted.received) == (GRID, GRID, len(scan[1]))
    assert counted.received > GRID


def test_a_lost_line_is_seen(scan):
    """However many calibration lines there are."""
    lost = next(line for line in scan[1] if role_of(line).fills_image and not role_of(line).calibrates)
    assert tally(scan, [line for line in scan[1] if line is not lost]).on_grid == GRID - 1


@pytest.mark.parametrize(("partitions", "acceleration"), [(8, 1), (6, 3)])
def test_partitions_are_announced(partitions, acceleration):
    """A slab has lines along two steps."""
    protocol = Protocol(matrix=32, n_coils=2, n_slices=1, acceleration=acceleration, acs_lines=12, snr=200.0)
    header = simulate_scan(protocol)[0].replace("<z>1</z>", f"<z>{partitions}</z>")
    assert announced_lines(Scan.from_xml(header)) in (-(-32 // acceleration), partitions * -(-32 // acceleration))


def test_without_a_header_lines_are_only_counted(scan):
    """The scan will fail, and still be told."""
    counted = LineTally(None)
    counted.add(bytes(scan[1][0].getHead()))
    assert (counted.received, counted.on_grid, counted.announced) == (1, 0, None)
