"""GRAPPA: time and error of ours and of pygrappa's mdgrappa, calibration included.

    python benchmarks/grappa_speed.py [--data FOLDER] [--repeats 5] [--threads 2]

A simulated head by default; with a folder of real raw files also the fully sampled brains in it. Lines are left out,
24 calibration lines kept, and the error is taken to the full k-space.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from measure import fully_sampled, interleave, print_conditions, print_times
from torch import Tensor

from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils

ACS_LINES, ACCELERATIONS, NOISE = 24, (2, 3, 4), 0.02
BRAINS = ("brain_t1_8ch.h5", "brain_flash_16ch.h5")


def simulated_head() -> Tensor:
    kspace = coil_kspace(head_phantom(), loop_coils(8, object_phase=1.0), (256, 256), oversampling=1)
    noise = torch.randn(kspace.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return kspace + NOISE * kspace.abs().square().mean().sqrt() * noise


def nrmse(kspace: Tensor, reference: Tensor) -> float:
    return ((kspace - reference).norm() / reference.norm()).item()


def compare(name: str, kspace: Tensor, repeats: int) -> None:
    """Print one table per acceleration."""
    try:
        from pygrappa import mdgrappa
    except ImportError:
        mdgrappa = None
        print("pygrappa is not installed")
    n_lines = kspace.shape[-2]
    start = n_lines // 2 - ACS_LINES // 2
    acs = kspace[:, start : start + ACS_LINES].contiguous()
    for acceleration in ACCELERATIONS:
        sampling = equispaced_lines(n_lines, acceleration, acs_lines=ACS_LINES)
        sampled = kspace * sampling.mask
        filled: dict[str, Tensor] = {}

        def ours(sampled=sampled, sampling=sampling, acceleration=acceleration, filled=filled):
            filled["ours"] = apply_grappa(calibrate_grappa(acs, acceleration), sampled, sampling)

        def theirs(sampled=sampled, filled=filled):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # 0/0 where a window is empty
                result = mdgrappa(sampled.numpy(), acs.numpy(), kernel_size=(5, 5), coil_axis=0)
            filled["pygrappa mdgrappa 5×5"] = torch.from_numpy(result)

        contestants = {"ours": ours}
        if mdgrappa is not None:
            contestants["pygrappa mdgrappa 5×5"] = theirs
        seconds = interleave(contestants, repeats)
        empty = nrmse(sampled, kspace)
        print(f"{name} {tuple(kspace.shape)}, R={acceleration}; unfilled NRMSE {empty:.4f}\n")
        print_times(seconds, "ours", {name: f"NRMSE {nrmse(result, kspace):.4f}" for name, result in filled.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print_conditions(f"{ACS_LINES} ACS lines, {options.repeats} repeats; 2×5 kernel and pygrappa's 5×5 default.")
    compare(f"simulated head, {NOISE:.0%} noise", simulated_head(), options.repeats)
    for name in BRAINS if options.data else ():
        compare(name, fully_sampled(options.data / name), options.repeats)


if __name__ == "__main__":
    main()
