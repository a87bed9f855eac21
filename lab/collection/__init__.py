"""The collection: papers, claims, runs, ledger and gallery; knows nothing about embeddings."""
