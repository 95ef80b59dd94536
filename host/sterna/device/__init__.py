"""Devices: one small interface to the golden model, the simulated chip and boards."""
