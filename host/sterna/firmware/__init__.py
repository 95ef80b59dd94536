"""Firmware of the compact chip's control processor, and its assembler."""
