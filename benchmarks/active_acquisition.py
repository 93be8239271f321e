"""Which line next: area under the error curve of fixed and adaptive orders, headroom, stopping and latency."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from matplotlib.figure import Figure
from measure import data_option, fully_sampled, print_conditions, print_table
from torch import Tensor

from kband_core.active.line_chooser import LineChooser
from kband_core.active.orders import central, centre_out, stepped_out, variable_density
from kband_core.active.progress import Progress, line_errors
from kband_core.active.quick_image import COILS, READOUT
from kband_core.coils import compress, compression_matrix, sample_energy
from kband_core.fourier import resize
from kband_core.models import load_model
from kband_core.networks.line_evaluator import N_MARGINS, LineEvaluator
from kband_core.training.lines.varied_scans import varied_kspace

BRAINS = {"brain_prescan_16ch": 1, "head_gre_32ch_4slices": 4, "brain_flash_16ch": 1, "brain_flash_bodycoil_2ch": 1,
          "brain_t1_8ch": 1}  # fmt: skip
LEARNED = "population-greedy"
TARGET = 0.01

Scores = Callable[[Progress, Tensor, Tensor, Tensor], Tensor]  # state, predicted, errors, lines to come → (b, ky)


@click.command()
@data_option
@click.option("--scans", "n_scans", default=40, show_default=True, help="Held-out simulated scans of each size.")
@click.option("--learn", "n_learn", default=40, show_default=True, help="Other scans, which teach the fixed order.")
@click.option("--acs-lines", default=8, show_default=True, help="Central lines that all orders begin with.")
@click.option("--model", default="simulated_lines", show_default=True, help="The line evaluator.")
@click.option("--only", default="", help="Only sets whose name holds this, such as brain.")
@click.option("--seed", default=77, show_default=True, help="Of the scans; training has others.")
@click.option("-o", "--output", default="active_acquisition.png", type=click.Path(path_type=Path), help="The picture.")
def main(
    data: Path, n_scans: int, n_learn: int, acs_lines: int, model: str, only: str, seed: int, output: Path
) -> None:
    """Print three tables, and draw the curves."""
    evaluator = load_model(model)
    torch.set_num_threads(1)
    print_conditions(f"{n_scans} simulated scans of each size and real brains; {model}, {acs_lines} central lines, "
                     f"then to half of all; NRMSE of the quick image ({READOUT} samples, {COILS} coils)")  # fmt: skip
    sets = {name: _simulated(n, n_scans, seed) for n in (64, 96, 128) if only in (name := f"simulated, {n} lines")}
    brains = {name: n_slices for name, n_slices in BRAINS.items() if only in name}
    sets |= {name: kspace for name, n in brains.items() if (kspace := _brain(data / f"{name}.h5", n)) is not None}
    curves: dict[str, dict[str, Tensor]] = {}
    for name, kspace in sets.items():
        n_lines = kspace.shape[-2]
        learned = learned_order(_simulated(n_lines, n_learn, seed + 1), acs_lines)
        orders = {"centre-out": centre_out(n_lines), "every third, then between": stepped_out(n_lines, acs_lines),
                  "variable density": _best_density(n_lines, n_learn, seed, acs_lines), LEARNED: learned}  # fmt: skip
        chosen = {order: _fixed(rows) for order, rows in orders.items()}
        chosen |= {"random": _random(seed), "energy of the quick image": _energy, "evaluator": _told(evaluator),
                   "oracle, line by line": lambda _now, _predicted, errors, _coming: errors}  # fmt: skip
        curves[name] = {policy: curve(kspace, acs_lines, scores) for policy, scores in chosen.items()}
        curves[name]["evaluator, 3 lines ahead"] = curve(kspace, acs_lines, _told(evaluator), ahead=3)
    _print_areas(curves)
    _print_stops(sets, evaluator, acs_lines)
    _print_latency(evaluator, acs_lines)
    _draw(output, curves, acs_lines)
    click.echo(output)


def curve(kspace: Tensor, acs_lines: int, scores: Scores, *, ahead: int = 1) -> Tensor:
    """NRMSE `(b, step)` of scans `(b, coil, ky, kx)`, from the central lines to half of all, chosen `ahead` lines."""
    n_scans, _, n_lines, _ = kspace.shape
    now, each = Progress.begun(kspace, central(n_lines, acs_lines)), torch.arange(len(kspace))
    true, found = now.true_lines(), []
    own = iter(stepped_out(n_lines, acs_lines)[acs_lines:].tolist())
    coming = [torch.full((n_scans,), next(own)) for _ in range(ahead - 1)]
    for _ in range(n_lines // 2 - acs_lines + 1):
        predicted = now.predicted()
        errors = line_errors(predicted, true)
        found.append(errors.sum(-1).sqrt())
        asked = torch.zeros_like(now.acquired)
        for rows in coming:
            asked[each, rows] = True
        wanted = scores(now, predicted, errors, asked)
        coming.append(wanted.masked_fill(now.acquired | asked, -math.inf).argmax(-1))
        now.acquired[each, coming.pop(0)] = True
    return torch.stack(found, -1)


def learned_order(kspace: Tensor, acs_lines: int) -> Tensor:
    """The order in which, at each step, the line comes that is most wrong in the mean of all scans, relative to each.
    """
    n_lines, rows = kspace.shape[-2], []

    def most_wrong(now: Progress, _predicted: Tensor, errors: Tensor, _coming: Tensor) -> Tensor:
        mean = (errors / errors.sum(-1, keepdim=True)).mean(0).masked_fill(now.acquired[0], -1)
        rows.append(int(mean.argmax()))
        return mean.expand_as(errors)

    curve(kspace, acs_lines, most_wrong)
    rest = [row for row in centre_out(n_lines).tolist() if row not in rows]
    acs = central(n_lines, acs_lines)
    return torch.tensor([*range(acs.start, acs.stop), *rows, *(r for r in rest if not acs.start <= r < acs.stop)])


def _best_density(n_lines: int, n_learn: int, seed: int, acs_lines: int) -> Tensor:
    """Of 8 random variable-density orders the one with the least area on the scans that teach."""
    kspace, rng = _simulated(n_lines, min(n_learn, 12), seed + 1), torch.Generator().manual_seed(seed)
    orders = [variable_density(n_lines, rng, power=power) for power in (0.5, 1.0, 1.0, 1.0, 1.5, 2.0, 2.0, 3.0)]
    areas = [float(curve(kspace, acs_lines, _fixed(order)).mean()) for order in orders]
    return orders[areas.index(min(areas))]


def _fixed(order: Tensor) -> Scores:
    rank = torch.zeros(len(order))
    rank[order] = torch.arange(len(order), 0, -1.0)
    return lambda now, *_: rank.expand(now.acquired.shape)


def _random(seed: int) -> Scores:
    rng = torch.Generator().manual_seed(seed)
    return lambda now, *_: torch.rand(now.acquired.shape, generator=rng)


def _energy(_now: Progress, predicted: Tensor, *_: Tensor) -> Tensor:
    return sample_energy(predicted).sum((-3, -1))


def _told(evaluator: LineEvaluator) -> Scores:
    """By the evaluator."""

    def scores(now: Progress, predicted: Tensor, _errors: Tensor, coming: Tensor) -> Tensor:
        with torch.inference_mode():
            return evaluator(now.features(predicted, coming))

    return scores


_made: dict[tuple[int, int, int], Tensor] = {}


def _simulated(n_lines: int, n_scans: int, seed: int) -> Tensor:
    key = n_lines, n_scans, seed
    if key not in _made:
        rng = torch.Generator().manual_seed(seed)
        _made[key] = torch.stack([varied_kspace(n_lines, rng) for _ in range(n_scans)])
    return _made[key]


def _brain(path: Path, n_slices: int) -> Tensor | None:
    """The decisions' view of real scans: few virtual coils, central samples `(slice, coil, ky, kx)`."""
    if not path.is_file():
        return None
    few = []
    for number in range(n_slices):
        kspace = fully_sampled(path, number)
        acs = kspace[:, central(kspace.shape[1], 8)]
        small = compress(kspace, compression_matrix(acs, min(COILS, len(kspace))))
        few.append(resize(small, (READOUT,), (-1,)))
    stacked = torch.stack(few)
    return stacked / torch.linalg.vector_norm(stacked, dim=(1, 2, 3), keepdim=True)


def _print_areas(curves: dict[str, dict[str, Tensor]]) -> None:
    """Area under the error curve of each order, less that of the learned fixed one, with its 95 % interval."""
    simulated = [name for name in curves if name.startswith("simulated")]
    rows = []
    for policy in next(iter(curves.values())):
        cells = [policy]
        for of_policy in curves.values():
            areas = of_policy[policy].mean(-1)
            less = areas - of_policy[LEARNED].mean(-1)
            text = f"{areas.mean():.4f}"
            if len(areas) > 4 and policy != LEARNED:
                text += f" ({less.mean():+.4f} ± {1.96 * less.std() / math.sqrt(len(less)):.4f})"
            cells.append(text)
        rows.append(tuple(cells))
    for part in (simulated, [name for name in curves if name not in simulated]):
        at = [0, *(1 + list(curves).index(name) for name in part)]
        if part:
            print_table(("order", *part), [tuple(row[n] for n in at) for row in rows])


def _print_stops(sets: dict[str, Tensor], evaluator: LineEvaluator, acs_lines: int) -> None:
    """How often the error told was enough, by share of the lines; and what a target of NMSE 0.01 stops at."""
    rows = []
    for name, kspace in sets.items():
        n_lines = kspace.shape[-2]
        now, each = Progress.begun(kspace, central(n_lines, acs_lines)), torch.arange(len(kspace))
        true, limits, nmse = now.true_lines(), [], []
        for number in range(acs_lines, n_lines // 2 + 1):
            predicted = now.predicted()
            with torch.inference_mode():
                logs = evaluator(now.features(predicted, torch.zeros_like(now.acquired)))
            limits.append(evaluator.margin[number * N_MARGINS // n_lines] * (10**logs).sum(-1))
            nmse.append(line_errors(predicted, true).sum(-1))
            now.acquired[each, logs.masked_fill(now.acquired, -math.inf).argmax(-1)] = True
        limit, error = torch.stack(limits), torch.stack(nmse)
        kept = (error <= limit).float()
        thirds = [f"{100 * part.mean():.0f} %" for part in kept.tensor_split(3)]
        is_good = limit < TARGET
        at = torch.where(is_good.any(0), is_good.float().argmax(0), len(limit) - 1)
        stopped = is_good.any(0)
        honest = error[at, each][stopped] <= TARGET
        lines = (acs_lines + at[stopped]).float()
        rows.append((name, *thirds, f"{int(stopped.sum())} of {len(kspace)}",
                     f"{lines.mean():.1f} ({lines.min():.0f} to {lines.max():.0f})" if len(lines) else "",
                     f"{100 * honest.float().mean():.0f} %" if len(lines) else ""))  # fmt: skip
    click.echo(f"Error told that 9 of 10 stay below, and images stopped where it is below {TARGET:g}\n")
    print_table(("scans", "first third", "second", "last", "stopped", "at lines", "truly below"), rows)


def _print_latency(evaluator: LineEvaluator, acs_lines: int) -> None:
    """Time from a line to its decision, on one thread."""
    rows = []
    for n_lines in (64, 128, 256):
        kspace = _simulated(n_lines, 1, 5)[0]
        chooser, took = LineChooser(evaluator, n_lines, acs_lines), []
        for row in stepped_out(n_lines, acs_lines)[: n_lines // 2].tolist():
            started = time.perf_counter()
            chooser.add(row, kspace[:, row])
            if chooser.is_calibrated:
                chooser.decide()
                took.append(1000 * (time.perf_counter() - started))
        shares = torch.tensor(took).quantile(torch.tensor([0.5, 0.95, 1.0])).tolist()
        rows.append((f"{n_lines} lines", *(f"{share:.1f}" for share in shares)))
    click.echo("Time of a decision, ms, one thread\n")
    print_table(("", "median", "95 of 100", "longest"), rows)


def _draw(path: Path, curves: dict[str, dict[str, Tensor]], acs_lines: int) -> None:
    figure = Figure(figsize=(5.0 * min(len(curves), 4), 4.5 * math.ceil(len(curves) / 4)), layout="constrained")
    places = figure.subplots(math.ceil(len(curves) / 4), min(len(curves), 4), squeeze=False).flat
    for axes, (name, of_policy) in zip(places, curves.items(), strict=False):
        for policy, found in of_policy.items():
            axes.plot(range(acs_lines, acs_lines + found.shape[1]), found.mean(0), label=policy, linewidth=1.2)
        axes.set(title=name, xlabel="lines", ylabel="NRMSE", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.3)
    next(iter(figure.axes)).legend(fontsize=7)
    figure.savefig(path, format="png", dpi=90)


if __name__ == "__main__":
    main()
