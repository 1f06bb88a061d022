"""How often what the program claims is false, in worlds that are harder than its models."""
