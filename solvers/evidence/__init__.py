"""Numbers that are not known beforehand, inferred by the evidence of the readings."""
