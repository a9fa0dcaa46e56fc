"""The pipeline measured against its peers; see docs/benchmarks.md."""
