"""The compiled chip: the real top level in Verilator, driven through its register port."""
