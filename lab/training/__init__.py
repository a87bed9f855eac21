"""Training: one loop, one model or many seeds at once."""

from lab.training.batches import Pair, RowBatch, Rows, TwoViews, ViewBatch, Views
from lab.training.history import History
from lab.training.loop import NonFiniteLoss, fit

__all__ = ["History", "NonFiniteLoss", "Pair", "RowBatch", "Rows", "TwoViews", "ViewBatch", "Views", "fit"]
