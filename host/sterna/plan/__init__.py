"""What a model costs on a chip before there is one: clocks, memories, LUTs, and the best choice."""
