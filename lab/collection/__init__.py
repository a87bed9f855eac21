"""The collection: papers, claims, runs, ledger and gallery; knows nothing about embeddings."""

from lab.collection.place import root

__all__ = ["root"]
