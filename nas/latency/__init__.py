"""The latency of a network on a device: measured, or said to be predicted."""
