"""From a checkpoint to a model file, and from a model file to a tape."""
