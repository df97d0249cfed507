//! One module a command.

pub(crate) mod base;
pub(crate) mod build;
pub(crate) mod builds;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod images;
mod outdated;
pub(crate) mod pack;
pub(crate) mod prune;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod sbom;
pub(crate) mod show;
pub(crate) mod transfer;
pub(crate) mod usage;
