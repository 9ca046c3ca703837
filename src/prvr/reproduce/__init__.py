"""The paper's tables and figures, ours beside the published values, one command each."""
