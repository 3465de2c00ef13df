"""kedja's benchmarks: the same arithmetic on the same data, kedja beside its peers (`python -m bench`)."""
