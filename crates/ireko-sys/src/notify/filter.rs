//! The filter that reports calls. It stands beside the one that forbids, whose refusals come first.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use libc::sock_filter;

use super::Owners;
use super::calls::{self, Call, Table};
use crate::seccomp::{Report, reporting, tables};

/// Calls are reported by this machine's own convention and, on 64-bit x86, by that of i386.
#[derive(Debug)]
pub(crate) struct Reported {
    /// All calls.
    all: Vec<sock_filter>,
    /// All but those that give files other names.
    most: Vec<sock_filter>,
    own: Table,
    old: Table,
}

impl Reported {
    /// That of this machine, made once.
    pub(crate) fn here() -> &'static Self {
        static HERE: OnceLock<Reported> = OnceLock::new();
        HERE.get_or_init(|| {
            let (own, old) = tables();
            Self::of(calls::table(own, false), calls::table(old, true))
        })
    }

    fn of(own: Table, old: Table) -> Self {
        let rules = |table: &Table, moves: bool| -> Report {
            let wanted = table.iter().filter(|(_, (call, _))| moves || !matches!(call, Call::Move(_)));
            wanted.map(|(number, (_, tests))| (*number, *tests)).collect::<BTreeMap<_, _>>()
        };
        let program = |moves| reporting(std::env::consts::ARCH, &rules(&own, moves), &rules(&old, moves));
        Self { all: program(true), most: program(false), own, old }
    }

    /// The program for a step. Only one with links or pipes of others below has to know how they are moved: their
    /// owners are known by their paths.
    pub(crate) fn program(&self, owners: &Owners) -> &[sock_filter] {
        if owners.below.is_empty() { &self.most } else { &self.all }
    }

    /// What a reported call is, by the audit number of its convention.
    pub(super) fn call(&self, audit: u32, number: u32) -> Option<Call> {
        let table = if crate::seccomp::is_i386(audit) { &self.old } else { &self.own };
        table.get(&number).map(|(call, _)| *call)
    }
}
