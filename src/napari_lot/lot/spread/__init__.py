"""Spreading orbitals into depth channels and gathering gradients back: one contract, several backends.

``reference`` is the plain-torch oracle, ``cpu`` the compiled path.
"""
