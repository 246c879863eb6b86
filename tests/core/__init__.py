"""Tests of the values that everything shares."""
