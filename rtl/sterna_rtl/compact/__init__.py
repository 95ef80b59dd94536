"""Units of a chip for a small FPGA: one arithmetic for all operations, a pass after the other."""
