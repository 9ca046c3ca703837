"""The fast forms: gradients and products written by hand. Each has a readable twin, and runs in its place while the
switch is on (`prvr.kernels.switch`); what is computed, and in which shapes, is said at the twin, in `prvr.parts` or
with the method that it belongs to.
"""
