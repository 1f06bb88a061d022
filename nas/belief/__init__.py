"""The belief that figures allow: arrays in, means, deviations and draws out."""
