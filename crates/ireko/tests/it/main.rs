//! End to end, through the binary, on real images: the one integration binary.
//!
//! Every test has a store, a context and a base image of its own. The base is made of the machine's static busybox;
//! where that or a sandbox level is missing, a test says why it was skipped.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test program has a clock and an environment, and says why it skips"
)]

mod agents;
mod as_docker;
mod authorities;
mod bad_input;
mod base;
mod beyond;
mod build;
mod cache;
mod care;
mod changing;
mod check;
mod containers;
mod crash;
mod daemons;
mod deb_archive;
mod deb_crash;
mod deb_hostile;
mod devices;
mod engines;
mod events;
mod faults;
mod fetch;
mod groups;
mod history;
mod images;
mod level_none;
mod limits;
mod made_again;
mod made_bases;
mod others;
mod pack;
mod pack_debs;
mod peers;
mod platforms;
mod probe;
mod prune;
mod pulled;
mod registry;
mod repositories;
mod retracted;
mod revert;
mod same;
mod sbom;
mod secrets;
mod single_id;
mod snapshotter;
mod ssh_engines;
mod support;
mod terminal;
mod uploads;
