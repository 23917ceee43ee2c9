"""irprune beside other tools on the same models: ``python -m benchmarks``."""
