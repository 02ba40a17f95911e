"""The pytest plugin: everything that imports pytest. Its entry point is `hooks`; without it, load `-p specdec`."""
