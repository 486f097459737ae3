"""Interactive figures: thin shells round pure functions ``state -> picture``."""
