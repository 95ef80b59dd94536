"""Sterna: MatMul-free language models on FPGAs, host side."""

__version__ = "0.1.0"
