"""What is to be said of an image of EPI lines, by meta key."""

from __future__ import annotations

from collections.abc import Iterator

from gadgets.epi.correction import Corrected, ghosts


def notes_of(raw: Corrected, corrected: Corrected, method: str, *, lacks_navigators: bool) -> dict[str, str]:
    """Say how the phase was corrected, the level of the ghost before and after, and what is wrong with the image."""
    before, after = ghosts(raw, corrected)
    levels = "unknown" if before is None or after is None else f"{before:.3f} before, {after:.3f} after"
    said = {"kband_phase_correction": method, "kband_ghost": levels}
    without = ["EPI without navigators: phase by entropy, shift along y unknown"] if lacks_navigators else []
    problems = "; ".join((*without, *_borrowed(corrected), *_without_drift(corrected), *_other_centre(corrected)))
    return {**said, "ImageComments": problems} if problems else said


def _borrowed(corrected: Corrected) -> Iterator[str]:
    """Say how many shots had to do with the navigators of another; where there are none at all the method says so."""
    shots = corrected.image_shots()
    if n_borrowed := sum(corrected.is_borrowed[n] for n in shots):
        yield f"{n_borrowed} of {len(shots)} EPI shots corrected by navigators of another shot"


def _without_drift(corrected: Corrected) -> Iterator[str]:
    """Two navigators tell of the phase between both ways alone: the image may have moved along y."""
    n_without = sum(phase is not None and phase.drift is None for phase in corrected.phases)
    if n_without:
        yield f"{n_without} of {len(corrected.phases)} EPI shots without their drift from echo to echo"


def _other_centre(corrected: Corrected) -> Iterator[str]:
    """Siemens' converter writes the centre line into user counter 5; its header's centre forgets partial Fourier."""
    centre = corrected.encoding.step1.center
    echoes = [echo for n in corrected.image_shots() for echo in corrected.shots[n].echoes]
    if other := {echo.header.idx.user[5] for echo in echoes} - {0, centre}:
        yield f"lines name {min(other)} as the centre of encoding step 1, the header {centre}"
