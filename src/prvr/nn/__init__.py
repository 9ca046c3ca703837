"""Parts of networks, without method names: attention, pooling, token merging, scoring."""
