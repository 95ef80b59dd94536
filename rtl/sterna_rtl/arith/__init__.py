"""Arithmetic that several units share: division, square root, sigmoid, logarithm."""
