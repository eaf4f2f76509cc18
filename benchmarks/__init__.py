"""Measured comparisons; run one with `python -m benchmarks.NAME --json FILE`."""
