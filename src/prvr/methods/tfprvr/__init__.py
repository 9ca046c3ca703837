"""TF-PRVR (NeurIPS 2026)."""
