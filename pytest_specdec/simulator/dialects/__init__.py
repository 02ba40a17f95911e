"""What the simulated engine pretends to be: endpoints, metric names and habits of one real engine each."""
