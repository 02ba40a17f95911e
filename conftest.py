"""This repository only: the plugin itself is loaded by its entry point once the package is installed."""

pytest_plugins = ["pytester"]
