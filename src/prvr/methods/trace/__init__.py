"""TRACE scoring (arXiv 2609.08999)."""
