//! Links that are cut, delayed or silent between parts that are all well.
