"""How well latencies are predicted from few measurements."""
