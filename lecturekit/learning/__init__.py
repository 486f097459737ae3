"""From labels to a network that segments: features, heads, training, recipes, rounds."""
