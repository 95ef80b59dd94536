"""Streams and queues: what every unit is built from."""
