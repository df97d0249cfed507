//! The build graph and the machine that decides what to do next.
//!
//! A [`Graph`] is what the planner made of a Dockerfile: nodes are operations ([`Op`]), edges are "needs the file
//! system of". [`Declared`] lists what a step's result depends on and hashes it into a key. The [`Machine`] turns
//! answers ([`Event`]) into work ([`Command`]); it does not know what an operation does, what a file is or what time
//! it is, so that it can be tested with a seed.
//!
//! Read [`op`] first, then [`Machine`].
#![forbid(unsafe_code)]

pub mod op;

mod graph;
mod key;
mod machine;

pub use graph::{About, Graph, Node, NodeId, Reuse, Selection};
pub use key::Declared;
pub use machine::{Command, Event, LOST_MAX, Layer, Machine, Policy, Tree};
pub use op::Op;
