"""The authors' parameter names and ours: those of MS-SL."""

from __future__ import annotations

from dataclasses import replace

from prvr.methods.mssl import official as mssl

OFFICIAL = replace(mssl.OFFICIAL, system="BGM-Net", signs={"use_matcher": True})
