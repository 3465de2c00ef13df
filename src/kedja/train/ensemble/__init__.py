"""Ensembles: several networks of one build, trained at once in one program, and what they say together."""

from kedja.train.ensemble.ensemble import Ensemble
from kedja.train.ensemble.history import EnsembleHistory
from kedja.train.ensemble.spread import Spread

__all__ = ["Ensemble", "EnsembleHistory", "Spread"]
