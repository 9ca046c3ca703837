"""The bench: train, measure and import what a method's functions describe."""
