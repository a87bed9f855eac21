"""Probes: what a set of embeddings looks like, one file a phenomenon."""
