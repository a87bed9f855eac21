"""One process of several: every loss on this rank's share of a batch, against one process that has all of it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import torch
import torch.distributed as dist

import lab.losses
from lab.losses.ranks import across_ranks

ITEMS, COLUMNS = 16, 6


class Scale(torch.nn.Module):
    """One factor, for arguments with a single number an item."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(1.3))

    def forward(self, x):
        return x * self.factor


class Towers(torch.nn.Module):
    """One linear map an argument, so that every gradient passes through the rows; gates stay above zero."""

    def __init__(self, names, columns):
        super().__init__()
        torch.manual_seed(3)
        self.maps = torch.nn.ModuleDict(
            {name: torch.nn.Linear(columns[name], columns[name]) if columns[name] else Scale() for name in names}
        )
        if "gates" in self.maps:
            self.maps["gates"] = torch.nn.Sequential(self.maps["gates"], torch.nn.Softplus())
        self.double()

    def forward(self, arguments):
        def through(name, value):
            if isinstance(value, list | tuple):
                return [self.maps[name](item) for item in value]
            return self.maps[name](value)

        return {name: through(name, value) if name in self.maps else value for name, value in arguments.items()}


def width(value):
    first = value[0] if isinstance(value, list | tuple) else value
    return first.shape[-1] if first.ndim > 1 else 0


def is_rows(value):
    first = value[0] if isinstance(value, list | tuple) else value
    return isinstance(first, torch.Tensor) and first.is_floating_point()


def share(value, rank, ranks, axis=None):
    """This rank's items."""
    if isinstance(value, list | tuple):
        return [share(item, rank, ranks, axis) for item in value]
    if value is None:
        return None
    if axis is None:
        integers = not value.is_floating_point() and value.dtype != torch.bool
        axis = -1 if integers or value.ndim == 1 else -2
    return value.chunk(ranks, axis)[rank]


def gradient(model):
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])


def compare(name, example, row_names, rank, ranks, tools):
    """Projection and cosine of the averaged gradient on the true one, and value over true value."""
    loss = getattr(lab.losses, name)

    def arguments():
        made = example(torch.Generator().manual_seed(7), ITEMS, COLUMNS)
        return {key: tools["cast"](value, torch.float64) for key, value in made.items()}

    full = arguments()
    mapped = [key for key in row_names if is_rows(full.get(key))]
    columns = {key: width(full[key]) for key in mapped}
    truth_model, model = Towers(mapped, columns), Towers(mapped, columns)
    truth = tools["value_of"](loss(**truth_model(full)))
    truth.sum().backward()

    axes = dict(row_names) if isinstance(row_names, dict) else dict.fromkeys(row_names)
    part = {k: share(v, rank, ranks, axes[k]) if k in axes else v for k, v in arguments().items()}
    here = model(part)
    rows = row_names if isinstance(row_names, dict) else [k for k in row_names if k in part]
    value = tools["value_of"](across_ranks(loss, rows=rows)(**here))
    value.sum().backward()
    mean = gradient(model)
    dist.all_reduce(mean)
    mean /= ranks
    true = gradient(truth_model)
    norm = true.norm()
    return {
        "projection": float(mean @ true / norm**2),
        "cosine": float(mean @ true / (mean.norm() * norm)),
        "value": abs(value.sum().item() - truth.sum().item()) / max(1.0, abs(truth.sum().item())),
        "size": float(norm),
    }


def local_only(rank, ranks, tools):
    """What happens without gathering: the control, which must not pass."""
    x = torch.randn(ITEMS, COLUMNS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.randn(ITEMS, COLUMNS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = {}
    for name, more in (("nt_xent", {"temperature": 0.1}), ("barlow_twins", {"off_diagonal_weight": 0.01})):
        loss = getattr(lab.losses, name, None)
        if loss is None:
            continue
        names = ["view1", "view2"]
        truth_model, model = (Towers(names, dict.fromkeys(names, COLUMNS)) for _ in range(2))
        loss(**truth_model({"view1": x, "view2": y}), **more).backward()
        loss(**model({"view1": share(x, rank, ranks), "view2": share(y, rank, ranks)}), **more).backward()
        mean, true = gradient(model), gradient(truth_model)
        dist.all_reduce(mean)
        mean /= ranks
        found[name] = float(mean @ true / (mean.norm() * true.norm()))
    return found


def wrapped_in_ddp(rank, ranks):
    """The same through DistributedDataParallel itself, over three steps of SGD."""
    x = torch.randn(ITEMS, COLUMNS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.randn(ITEMS, COLUMNS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    everywhere = across_ranks(lab.losses.nt_xent, rows=("view1", "view2"))
    models = [torch.nn.Linear(COLUMNS, 4).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        for p in model.parameters():
            dist.broadcast(p.data, 0)
    alone, spread = models[0], torch.nn.parallel.DistributedDataParallel(models[1])
    difference = 0.0
    for _ in range(3):
        one = lab.losses.nt_xent(alone(x), alone(y), temperature=0.2)
        both = spread(torch.cat([share(x, rank, ranks), share(y, rank, ranks)]))
        half = len(both) // 2
        other = everywhere(both[:half], both[half:], temperature=0.2)
        difference = max(difference, abs(float(one.detach()) - float(other.detach())))
        for model, value in ((alone, one), (spread, other)):
            model.zero_grad()
            value.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.5 * p.grad
    weights = (alone.weight - spread.module.weight).abs().max()
    return {"loss": difference, "weights": float(weights.detach())}


def uneven(rank):
    """Ranks that hold different numbers of rows must say so."""
    x = torch.eye(4 + rank, 4)
    x[x.sum(1) == 0] = 1
    try:
        across_ranks(lab.losses.nt_xent, rows=("view1", "view2"))(x, x, temperature=0.5)
    except ValueError as error:
        return str(error)
    return "nothing was said"


def main(rank: int, ranks: int, meeting: str, result: str) -> None:
    """Join at the file `meeting`; rank 0 writes to `result` how the value and gradient of each loss compare."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    tools = runpy.run_path(str(Path(__file__).with_name("collect_examples.py")))
    examples, rows = tools["collect"]()
    report = {"losses": {}, "uneven": uneven(rank), "local": local_only(rank, ranks, tools)}
    report["ddp"] = wrapped_in_ddp(rank, ranks)
    for name in sorted(examples):
        if hasattr(lab.losses, name) and rows.get(name):
            try:
                report["losses"][name] = compare(name, examples[name], rows[name], rank, ranks, tools)
            except (ValueError, TypeError, RuntimeError) as error:
                report["losses"][name] = {"error": str(error)}
    if rank == 0:
        Path(result).write_text(json.dumps(report), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()
