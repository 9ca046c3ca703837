"""Moments for editing programs: as cuts one after another, or as markers on whole films.

Ours, where OpenTimelineIO has adapters too: these label drop-frame rates as if nothing were dropped, lose what markers
say, and write edit lists and NTSC rates that they cannot read back. The tests read ours with them.
"""
