"""Metrics, collapse analysis, reports."""
