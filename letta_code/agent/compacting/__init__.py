"""Compacting: the parts of a compaction: limit, cut, what must be kept, summary, and the cut without one."""
