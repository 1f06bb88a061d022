"""What figures allow one to believe: arrays in, means, deviations and draws out."""
