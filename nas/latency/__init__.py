"""How long a network takes on a device: measured, or said to be predicted."""
