"""Training of HGRNBit language models: ternary weights, int8 activations, no attention.

Nothing in the rest of the project imports this package; it needs PyTorch, which users of a
trained model do not. Run it from the root of the repository as ``python -m models.train``.
"""
