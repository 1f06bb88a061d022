"""Where every figure of README.md and docs/ comes from: README.md lists the scripts.

A script is started from the clone: python -m benchmarks.search.samplers --help
"""
