"""Numbers that agree with the field's: numpy only."""
