"""GMMFormer (AAAI 2024)."""
