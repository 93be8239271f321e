"""What a network is shown of a plane, and what it is judged by: one class for each way of training.

The undersampled axis is always ky (axis 0): `lines` acquires whole readout lines along kx, as variable density along
ky. A band turns while that axis stays: at angle 0 it is full along ky and narrow along kx, at 90° full along the
readout, so that the calibration lines cross it at every angle. (A scanner that turns its blade turns the undersampled
axis too.) Sampling is drawn anew every time, the angle belongs to the scan.

| name | the network sees | it is judged by |
|---|---|---|
| `supervised` | sampling | everything acquired |
| `kband` | sampling within the band | the band, each sample weighted by 1/E[B] |
| `ssdu` | part Θ of the sampling | the rest of it, Λ |
| `vertical` | sampling within the band at angle 0 | that band |
| `square` | sampling within the central square of a band's area | that square |
| `reference` | as `kband`, with the quirks of its published code | the same, coils combined |

Along radial trajectories spokes are left out instead of lines, and a band is a sector; along spirals interleaves are,
and a sector is adjacent ones:

| name | the network sees | it is judged by |
|---|---|---|
| `spokes` | sampling | all spokes |
| `sectors` | sampling within the sector | the sector, each sample by its density over E[B], the same everywhere |
| `spokes_ssdu` | some spokes of the sampling | the rest of them |
| `rings` | sampling within the central disc of a sector's area | that disc |
| `predicted_spokes` | sampling | the spokes not seen, as `pkt` predicts them; no image is made |

Of a plane that is not fully sampled, such as a band from a scanner, only what was acquired is seen or judged by. Where
zeros at the ends of k-space are all that is missing (padding, as in public data sets), it counts as fully sampled.
"""

from __future__ import annotations

from dataclasses import fields

from kband_core.training.supervision.contract import Supervision
from kband_core.training.supervision.kband import KBand
from kband_core.training.supervision.limited import Square, Vertical
from kband_core.training.supervision.predicted_spokes import PredictedSpokes
from kband_core.training.supervision.reference import Reference
from kband_core.training.supervision.spokes import AlongSpokes, Rings, Sectors, Spokes, SpokesSsdu
from kband_core.training.supervision.ssdu import Ssdu
from kband_core.training.supervision.supervised import Supervised

SUPERVISIONS: dict[str, type[Supervision]] = {
    "supervised": Supervised, "kband": KBand, "ssdu": Ssdu, "vertical": Vertical, "square": Square,
    "reference": Reference, "spokes": Spokes, "sectors": Sectors, "spokes_ssdu": SpokesSsdu, "rings": Rings,
    "predicted_spokes": PredictedSpokes,
}  # fmt: skip


def build_supervision(name: str, **options: object) -> Supervision:
    """Make the supervision of a recipe by its name; options of its `drawing` say how it leaves lines out.

    Raises `ValueError` for a name or an option that there is not.
    """
    if name not in SUPERVISIONS:
        raise ValueError(f"supervision: no '{name}'; there are {', '.join(SUPERVISIONS)}")
    kind = SUPERVISIONS[name]
    of_drawing, own = ([field.name for field in fields(each)] for each in (kind.drawing, kind))
    known = [*of_drawing, *own[1:]]  # the first is the undersampling itself
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"supervision {name}: no option '{unknown[0]}'; there are {', '.join(known)}")
    drawing = kind.drawing(**{option: options.pop(option) for option in of_drawing if option in options})
    return kind(undersampling=drawing, **options)


def full_extent(supervision: Supervision) -> Supervision:
    """Return the supervision by all samples that leaves lines out in the same way: what images are judged on."""
    kind = Spokes if isinstance(supervision, AlongSpokes) else Supervised
    return kind(undersampling=supervision.undersampling)
