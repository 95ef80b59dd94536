"""Mutation testing: what a bench sees of all that can go wrong in its unit."""
