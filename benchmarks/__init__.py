"""Benches: how fast the product is beside its peers and the bare limit. See docs/performance.md; no room imports this."""
