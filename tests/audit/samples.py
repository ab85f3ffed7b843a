"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""


def audit(folder):
    return [["butterfly", "--trials", "1", "--json"]]


SAMPLES = {"": audit}
