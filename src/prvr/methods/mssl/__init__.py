"""MS-SL (ACM MM 2022)."""
