"""The single source: number formats, packings, tape, registers and chip configuration.

Pure Python and NumPy. Gateware, golden model, host and documentation derive from these files.
"""
