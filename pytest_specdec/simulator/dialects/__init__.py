"""Engines that the simulated engine imitates: endpoints, metric names and habits of one real engine each."""
