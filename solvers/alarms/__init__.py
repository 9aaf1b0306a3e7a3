"""What is wrong with readings, with the prior or with the physics: tests and messages."""
