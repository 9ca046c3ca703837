"""What kills, injuries, crowds and masses do to prvr: `python -m benchmarks.torture`."""
