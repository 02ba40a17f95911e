"""Facts about requests -> values with their uncertainty."""
