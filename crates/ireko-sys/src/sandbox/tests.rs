//! Plans as text, and commands on the real kernel.
