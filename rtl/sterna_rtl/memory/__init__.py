"""External memory: blocks of words behind streams."""
