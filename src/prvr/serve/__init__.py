"""The HTTP API and the page: they translate, nothing else."""
