"""PCIe: the hard block's interface, and what answers a host's reads and writes of registers."""
