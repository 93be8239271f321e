"""Images that lose nothing to coil maps, with the shading of the coils as they came."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gadgets.items import Calibration, ReconBuffer
from gadgets.recon.combined import noise_of, told, unmixing_of
from gadgets.recon.filling import Filling
from gadgets.recon.grappa import Grappa
from gadgets.recon.reconstruction import Method, Reconstruction, maps_of
from kband_core.completion import Completed, complete, few_columns
from kband_core.maps_ahead import few_combinations

MOST = 0.5  # of the measured energy: an image of which more is filled in is no longer one of its method
TOLD = 0.01  # of the measured energy: clean real scans reach 0.003


@dataclass(frozen=True)
class CompletedByGrappa(Method):
    """The image of `method`, which goes by maps, completed by GRAPPA where it misses what was measured.

    Where lines lie on no grid, nothing can fill them, and the image stays. With `gives_way_to_better` it is completed
    only where GRAPPA, by what it misses of the calibration lines, is nearer to the data. Raises `ValueError` if most of
    the image would be GRAPPA's.
    """

    method: Method
    grappa: Grappa
    gives_way_to_better: bool = False

    @property
    def label(self) -> str:
        return self.method.label

    @property
    def fills_one_side(self) -> bool:
        return self.method.fills_one_side

    def prepare(self, calibration: Calibration) -> None:
        if self.gives_way_to_better:
            self.grappa.misfits_ahead(calibration)
        else:
            self.grappa.prepare(calibration)
        self.method.prepare(calibration)
        if coming := calibration.coming and calibration.coming.beside(calibration.acs):
            coming.made(few_columns, few_combinations(len(coming.kspace), coming.kspace.device))

    def reconstruct(self, buffer: ReconBuffer) -> Reconstruction:
        made, csm = self.method.reconstruct(buffer), maps_of(buffer)
        kspace, sampling = buffer.planes()
        filling = self._filling(buffer)

        def misses() -> float:
            return filling.misses() if self.gives_way_to_better else 0.0

        done = complete(
            made.sets, csm, kspace, sampling,
            fill=filling and filling.fill, fill_misses=misses, noise=noise_of(buffer), unmixing=unmixing_of(buffer),
            ahead=buffer.ahead and buffer.ahead[0], coming=buffer.coming and buffer.coming.of(buffer.kspace),
        )  # fmt: skip
        if done.is_filled and float(done.share.mean()) > MOST:
            raise ValueError(f"{self.label} misses {_share_of(done)} of the measured energy")
        is_told = float(done.share.mean()) >= TOLD
        completed = told(done, buffer, notes={**made.notes, **(_said(done, filling, made) if is_told else {})})
        return replace(completed, sets=None if is_told and done.is_filled else made.sets)

    def _filling(self, buffer: ReconBuffer) -> Filling | None:
        """Return what fills the lines left out, if anything can; where none is, it fills nothing."""
        try:
            if not buffer.turned:
                buffer.plane_sampling.uniform_ends(self.label, buffer.encoding.acceleration[0])
            return self.grappa.filling(buffer)
        except (ValueError, RuntimeError):
            return None


def _said(done: Completed, filling: Filling | None, made: Reconstruction) -> dict[str, str]:
    """What the comment says of an image that misses much of what was measured: a label names one method only."""
    said, before = f"misses {_share_of(done)} of the measured energy", made.notes.get("ImageComments")
    few = filling.told() if done.is_filled else {}
    if done.is_filled:
        said = f"{said}, completed by GRAPPA"
    comments = filter(None, (before, said, few.get("ImageComments")))
    return {**few, "ImageComments": "; ".join(comments)}


def _share_of(done: Completed) -> str:
    share = float(done.share.mean())
    return f"{share:.0%}" if share < 1 else "all"
