"""Storms: whole installations under random faults, from a seed, judged by what the providers took."""
