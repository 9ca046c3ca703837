"""Annotations, data sets and the generated world."""
