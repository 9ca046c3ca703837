"""Simulated features over real annotations, for whoever has the annotations but not the packs.

They exercise training at real scale and compare methods with each other; they say nothing about real videos, and are
called simulated wherever they appear.
"""

from prvr.data.simulate.config import SimulateConfig
from prvr.data.simulate.frames import Scene, simulate_video
from prvr.data.simulate.texts import TextEncoder, hashed_words
from prvr.data.simulate.write import Simulated, simulate

__all__ = ["Scene", "SimulateConfig", "Simulated", "TextEncoder", "hashed_words", "simulate", "simulate_video"]
