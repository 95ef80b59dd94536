"""Sequencer, banks, generator, registers and counters."""
