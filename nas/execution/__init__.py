"""Who carries jobs out; what to carry out is decided below."""
