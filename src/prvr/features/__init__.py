"""Extraction that can stop and go on, and the store that it fills."""
