"""BGM-Net (TOMM 2024)."""
