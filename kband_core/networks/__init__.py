"""Trained networks, one paper per file, built by name.

Each takes k-space `(b, coil, ky, kx)`, the encoding operator that it was measured by, and `noise` `(b,)`, scaled by
`kband_core.scaling`, and returns images `(b, set, y, x)`.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from kband_core.networks.modl import Modl
from kband_core.networks.unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {"modl": Modl, "unet": UNet}


def build(name: str, **config: Any) -> nn.Module:
    """Build the network `name` with its settings. Raises `ValueError` naming what is unknown, and what is known."""
    if name not in NETWORKS:
        raise ValueError(f"network: no network '{name}'; networks are {', '.join(sorted(NETWORKS))}")
    known = list(inspect.signature(NETWORKS[name]).parameters)
    for key in config:
        if key not in known:
            raise ValueError(f"network {name}: no setting '{key}'; settings are {', '.join(known)}")
    return NETWORKS[name](**config)
