"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""


def tour(folder):
    return [["fourier", "--out", "page", "--list"], ["--list", "--json"]]


SAMPLES = {"": tour}
