"""How speculation fares: acceptance, health, diagnosis, and whether it pays."""
