"""Spreading orbitals into depth channels and gathering gradients back: one contract, several backends.

``reference`` is the plain-torch oracle, ``compact`` and ``gaussian`` are the compiled paths.
"""
