"""Training: one loop, one model or many seeds at once."""

from lab.training.batches import Pair, RowBatch, Rows, TwoViews, ViewBatch, Views
from lab.training.checkpoints import Checkpoints, DamagedCheckpoint
from lab.training.chunks import in_chunks
from lab.training.free import free_embeddings
from lab.training.history import History
from lab.training.loop import NonFiniteLoss, fit
from lab.training.momentum import Momentum
from lab.training.recipes import train_two_views
from lab.training.run import Callback, Run
from lab.training.several import Shard, embed_on_ranks, on_ranks
from lab.training.side_by_side import SideBySide
from lab.training.stacked import Stacked, stack
from lab.training.towers import Towers, new_towers, train_towers
from lab.training.triples import ClassTriples, Triple
from lab.training.watching import EarlyStop, LivePlot, Progress

__all__ = [
    "Callback",
    "Checkpoints",
    "ClassTriples",
    "DamagedCheckpoint",
    "EarlyStop",
    "History",
    "LivePlot",
    "Momentum",
    "NonFiniteLoss",
    "Pair",
    "Progress",
    "RowBatch",
    "Rows",
    "Run",
    "Shard",
    "SideBySide",
    "Stacked",
    "Towers",
    "Triple",
    "TwoViews",
    "ViewBatch",
    "Views",
    "embed_on_ranks",
    "fit",
    "free_embeddings",
    "in_chunks",
    "new_towers",
    "on_ranks",
    "stack",
    "train_towers",
    "train_two_views",
]
