"""DL-DKD (ICCV 2023) and DL-DKD++."""
