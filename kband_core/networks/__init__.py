"""Trained networks, one paper per file, built by name; and those of other packages, found by their entry points.

Each takes k-space `(b, coil, ky, kx)`, the encoding operator that it was measured by, and `noise` `(b,)`, scaled by
`kband_core.scaling`, and returns images `(b, set, y, x)`; but for `upnet`, which maps the echoes of images, and
`line_evaluator`, which makes no image.

A package offers networks in the entry point group `kband.networks`. They are code that a site has installed: whoever
sends a scan names a model, the model's card in a folder of the site names the network, and neither can bring code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from kband_core.networks.kiki import Kiki
from kband_core.networks.line_evaluator import LineEvaluator
from kband_core.networks.modl import Modl
from kband_core.networks.pkt import Pkt
from kband_core.networks.unet import UNet
from kband_core.networks.upnet import UPNet

NETWORKS: dict[str, type[nn.Module]] = {
    "kiki": Kiki, "line_evaluator": LineEvaluator, "modl": Modl, "pkt": Pkt, "unet": UNet, "upnet": UPNet,
}  # fmt: skip
GROUP = "kband.networks"


def build(name: str, **config: Any) -> nn.Module:
    """Build the network `name` with its settings. Raises `ValueError` naming what is unknown, and what is known."""
    make = _find(name)
    known = list(inspect.signature(make).parameters)
    for key in config:
        if key not in known:
            raise ValueError(f"network {name}: no setting '{key}'; settings are {', '.join(known)}")
    return make(**config)


def _find(name: str) -> Callable[..., nn.Module]:
    """Ours, or one that is installed; ours cannot be replaced. Raises `ValueError`."""
    if name in NETWORKS:
        return NETWORKS[name]
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in installed:
        names = ", ".join(sorted({*NETWORKS, *installed}))
        raise ValueError(f"network: no network '{name}'; networks are {names}")
    entry = installed[name]
    try:
        return entry.load()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"network {name}: {entry.value} of the installed package {entry.dist.name} cannot be imported ({reason})"
        ) from error
