"""Tops of chips on boards."""
