"""Benchmarks: `python -m benchmark NAME` measures side by side in one run and prints ratios and tables."""
