"""Tables, figures and pages out of recorded results."""
