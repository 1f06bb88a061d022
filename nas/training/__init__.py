"""Training and judging networks: one loop, with proxies, supernets and full training on it."""
