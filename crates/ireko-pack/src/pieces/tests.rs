//! Layers of packed files.
