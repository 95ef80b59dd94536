"""The golden model: integer NumPy, one file per unit, the specification of every bit.

Written from the arithmetic. Arrays have the token position as their first axis; a chip that works
token by token sees the same numbers. No floating point takes part: where a matrix product runs in
float32 or float64 for speed, every partial sum is an integer below the mantissa's size.
"""
