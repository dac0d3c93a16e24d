"""Benchmarks: what Forge's guarantees cost beside bare SQL or a bare view that does the same work without them."""
