"""The smallest training that is one: two steps in the time of a blink."""

from kband_core.training.recipe import Recipe, parse_recipe

TINY = {
    "name": "tiny",
    "network": {"name": "modl", "unrolls": 1, "denoiser": "multiscale", "channels": 4, "wide": 4, "blocks": 1,
                "cg_iterations": 3},
    "supervision": {"name": "supervised", "sampling": "mixed", "line_acceleration": [2, 3], "acs_lines": [6, 8]},
    "data": {"procedural": {"matrix": [32, 35], "coils": [2, 3]}},
    "optimiser": {"learning_rate": 0.01, "steps": 6, "batch": 2, "ema": 0.9},
    "validation": {"every": 2, "planes": 2},
}  # fmt: skip


def tiny_recipe(**sections: dict) -> Recipe:
    """The tiny recipe with other values in some sections."""
    return parse_recipe({key: {**value, **sections.get(key, {})} if isinstance(value, dict) else value
                         for key, value in TINY.items()}, "tiny")  # fmt: skip
