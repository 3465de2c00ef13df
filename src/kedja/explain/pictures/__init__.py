"""Pictures of graphs, networks, data and training (scope 10): one kind a file, each loaded when it is first used."""
