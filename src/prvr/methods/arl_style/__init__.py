"""ARL-style: our reconstruction of ARL (arXiv 2506.07471)."""
