"""Hostile input for every verb of every system: nothing here names a system, they are found."""
