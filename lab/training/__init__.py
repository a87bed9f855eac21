"""Training: one loop, one model or many seeds at once."""

from lab.training.batches import Pair, RowBatch, Rows, TwoViews, ViewBatch, Views
from lab.training.free import free_embeddings
from lab.training.history import History
from lab.training.loop import NonFiniteLoss, fit
from lab.training.recipes import train_two_views
from lab.training.run import Callback, Run
from lab.training.side_by_side import SideBySide
from lab.training.stacked import Stacked, stack
from lab.training.towers import Towers, new_towers, train_towers
from lab.training.triples import ClassTriples, Triple

__all__ = [
    "Callback",
    "ClassTriples",
    "History",
    "NonFiniteLoss",
    "Pair",
    "RowBatch",
    "Rows",
    "Run",
    "SideBySide",
    "Stacked",
    "Towers",
    "Triple",
    "TwoViews",
    "ViewBatch",
    "Views",
    "fit",
    "free_embeddings",
    "new_towers",
    "stack",
    "train_towers",
    "train_two_views",
]
