"""What the microscope does to the beam: geometry, optics, the probe over depth."""
