"""GPU power, clocks and temperature: reading sensors, and the arithmetic over them."""
