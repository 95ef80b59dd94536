"""Sterna gateware: Amaranth components, one file per unit."""
