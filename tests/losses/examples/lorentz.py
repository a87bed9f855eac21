"""Arguments for the losses in hyperbolic space, as the shared tests want them."""

import torch


def _rows(generator, n, d):
    return torch.randn(n, d, generator=generator)


EXAMPLES = {
    "lorentz_clip": lambda g, n, d: {"x": _rows(g, n, d), "y": _rows(g, n, d), "temperature": 1.0},
    "lorentz_cones": lambda g, n, d: {"general": _rows(g, n, d), "special": _rows(g, n, d)},
}

ROWS = {"lorentz_clip": ("x", "y"), "lorentz_cones": ("general", "special")}
