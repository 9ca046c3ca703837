"""MSC (NeurIPS 2025)."""
