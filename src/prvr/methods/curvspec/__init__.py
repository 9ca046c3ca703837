"""CurvSpec (ACM MM 2026)."""
