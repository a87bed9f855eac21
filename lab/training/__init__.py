"""Training: one loop, one model or many seeds at once."""

from lab.training.batches import Pair, RowBatch, Rows, TwoViews, ViewBatch, Views
from lab.training.history import History
from lab.training.loop import NonFiniteLoss, fit
from lab.training.recipes import train_two_views
from lab.training.stacked import Stacked, stack

__all__ = [
    "History",
    "NonFiniteLoss",
    "Pair",
    "RowBatch",
    "Rows",
    "Stacked",
    "TwoViews",
    "ViewBatch",
    "Views",
    "fit",
    "stack",
    "train_two_views",
]
