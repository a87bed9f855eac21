"""Data sets: one function each, all offline, checked against the manifest."""
