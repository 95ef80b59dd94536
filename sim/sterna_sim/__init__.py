"""Sterna in simulation: verification kit, compiled chip, synthesis reports."""
