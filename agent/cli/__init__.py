"""The commands of `python -m agent`, and the health check of the container."""
