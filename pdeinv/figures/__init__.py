"""The parts of a figure: its panels, symbols, sensors, residuals and captions."""
