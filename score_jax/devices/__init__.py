"""Devices and hosts: the mesh, how arrays are divided, processes."""
