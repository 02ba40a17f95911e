"""Is speculation healthy, and why did it change?"""
