"""AMDNet (TMM 2025)."""
