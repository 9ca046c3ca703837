"""ProtoPRVR-style: our reconstruction of ProtoPRVR (arXiv 2504.13035)."""
