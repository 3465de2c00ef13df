"""Derivatives by rules: a formula is read by a grammar, differentiated rule by rule, tidied and checked."""
