"""ESPIRiT: time and maps of ours, BART and sigpy on one simulated head.

    python benchmarks/espirit_speed.py [--repeats 5] [--threads 2]

BART is timed as its users run it: the command, with the start of the process and its files. A command that does next
to nothing on files of the same size gives the part of that which is not calibration.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from measure import interleave, print_conditions, print_times
from peers import read_cfl, write_cfl
from torch import Tensor

from kband_core.calibration import espirit_maps, walsh_maps
from kband_core.phantom import coil_kspace, head_phantom, loop_coils

SHAPE, N_COILS, ACS_LINES, NOISE = (256, 256), 16, 24, 0.02


def subspace_error(csm: Tensor, reference: Tensor, where: Tensor) -> float:
    """RMS sine of the angle between the coil vectors `(coil, y, x)` of two sets of maps."""
    csm, reference = (torch.nn.functional.normalize(c, dim=0) for c in (csm, reference))
    cosine = (csm.conj() * reference).sum(0).abs()[where].clamp(max=1)
    return (1 - cosine.square()).mean().sqrt().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    phantom, coils = head_phantom(), loop_coils(N_COILS, object_phase=1.0)
    kspace = coil_kspace(phantom, coils, SHAPE, oversampling=1)
    noise = torch.randn(kspace.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    kspace = kspace + NOISE * kspace.abs().square().mean().sqrt() * noise
    lines = slice(SHAPE[0] // 2 - ACS_LINES // 2, SHAPE[0] // 2 + ACS_LINES // 2)
    acs = kspace[:, lines]
    maps: dict[str, Tensor] = {}

    def ours(name, **choice):
        return lambda: maps.__setitem__(name, espirit_maps(acs, SHAPE, **choice))

    contestants = {
        "ours, 1 set": ours("ours, 1 set"),
        "ours, 2 sets": ours("ours, 2 sets", n_sets=2),
        "ours, every pixel": ours("ours, every pixel", eigen_grid=None),
        "ours, Walsh": lambda: maps.__setitem__("ours, Walsh", walsh_maps(acs, SHAPE)),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        if shutil.which("bart"):
            only_acs = torch.zeros_like(kspace)
            only_acs[:, lines] = acs
            write_cfl(files / "kspace", only_acs)
            environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}

            def bart(*arguments):
                command = ["bart", *arguments]
                subprocess.run(command, cwd=files, env=environment, check=True, stdout=subprocess.DEVNULL)

            def ecalib(n_sets):
                name = f"bart ecalib -m {n_sets}"
                bart("ecalib", "-r", str(ACS_LINES), "-m", str(n_sets), "kspace", "maps")
                maps[name] = read_cfl(files / "maps")

            contestants["bart ecalib -m 1"] = lambda: ecalib(1)
            contestants["bart ecalib -m 2"] = lambda: ecalib(2)
            contestants["bart scale (process and files)"] = lambda: bart("scale", "1", "kspace", "scaled")
        try:
            from sigpy.mri.app import EspiritCalib
        except ImportError:
            print("sigpy is not installed")
        else:
            zero_filled = kspace.numpy()

            def sigpy():
                app = EspiritCalib(zero_filled, calib_width=ACS_LINES, thresh=0.02, crop=0.8, show_pbar=False)
                maps["sigpy"] = torch.from_numpy(app.run())[None]

            contestants["sigpy"] = sigpy
        seconds = interleave(contestants, options.repeats)

    truth, inside = coils.maps(SHAPE), phantom.image(SHAPE) > 0.05
    print_conditions(
        f"{SHAPE[0]}×{SHAPE[1]}, {N_COILS} coils, {ACS_LINES} ACS lines, {NOISE:.0%} noise, "
        f"{options.repeats} repeats.\n"
        "Errors: rms angle between coil vectors inside the head, to ours at every pixel and to the true coils."
    )
    notes = {}
    for name, csm in maps.items():
        to_ours, to_truth = (subspace_error(csm[0], other, inside) for other in (maps["ours, every pixel"][0], truth))
        notes[name] = f"to ours {to_ours:.4f}, to truth {to_truth:.4f}"
    print_times(seconds, "ours, 1 set", notes)


if __name__ == "__main__":
    main()
