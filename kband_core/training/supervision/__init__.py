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

Of a plane that is not fully sampled, such as a band from a scanner, only what was acquired is seen or judged by. Where
zeros at the ends of k-space are all that is missing (padding, as in public data sets), it counts as fully sampled.
"""

from __future__ import annotations

from dataclasses import fields

from kband_core.training.supervision.contract import Supervision
from kband_core.training.supervision.kband import KBand
from kband_core.training.supervision.limited import Square, Vertical
from kband_core.training.supervision.reference import Reference
from kband_core.training.supervision.ssdu import Ssdu
from kband_core.training.supervision.supervised import Supervised
from kband_core.training.undersampling import Undersampling

SUPERVISIONS: dict[str, type[Supervision]] = {
    kind.__name__.lower(): kind for kind in (Supervised, KBand, Ssdu, Vertical, Square, Reference)
}


def build_supervision(name: str, **options: object) -> Supervision:
    """Make the supervision of a recipe by its name; options of `Undersampling` say how it leaves lines out.

    Raises `ValueError` for a name or an option that there is not.
    """
    if name not in SUPERVISIONS:
        raise ValueError(f"supervision: no '{name}'; there are {', '.join(SUPERVISIONS)}")
    of_drawing, own = ([field.name for field in fields(kind)] for kind in (Undersampling, SUPERVISIONS[name]))
    known = [*of_drawing, *own[1:]]  # the first is the undersampling itself
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"supervision {name}: no option '{unknown[0]}'; there are {', '.join(known)}")
    drawing = Undersampling(**{option: options.pop(option) for option in of_drawing if option in options})
    return SUPERVISIONS[name](undersampling=drawing, **options)
