//! A root file system of Debian packages: what is unpacked here, what dpkg does in a step of its own, and the one layer
//! that both come to.
//!
//! dpkg itself installs every package, so that whatever maintainer scripts, diversions, triggers and configuration
//! files ask for is done by those who know it. Only what dpkg needs to run (the essential packages and what they need)
//! is unpacked before, without its help.

use std::sync::Arc;

use ireko_deb::package::Package;
use ireko_graph::op::{FilesFrom, ImageSource, Mount, MountKind, Network, Run, Security};
use ireko_graph::{About, Graph, Node, NodeId, Op, Reuse};
use ireko_layer::{Change, ChangeKind, Data, LayerWriter, Meta, Time, TreePath};
use ireko_oci::{Digest, GuestPath};
use ireko_store::{NewForms, Store};

use crate::debs::{DebTree, PathFilter, files_of_all};
use crate::error::Error;
use crate::pieces::{self, Content, Item};

/// The context that holds the package files of a step.
pub const DEBS: &str = "packages";
/// Where in it those of the first step are.
pub const CORE: &str = "core";
/// Where in it those of the second are.
pub const OTHERS: &str = "others";
/// Where a step sees its own: no package has such a directory.
const ARCHIVES: &str = "/.packages";
/// The directories of `/` that are links into `/usr`.
pub(crate) const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// What is to be installed: the names of package files in the directories of the context [`DEBS`].
///
/// All that every base of a suite has is installed by a step of its own, which is remembered for the next base, and for
/// the next image whose scripts have to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// Essential packages and what they need, in any order.
    pub essential: Vec<String>,
    /// What else each base has: each group is installed whole before the next, since some of that need some of it
    /// before they are unpacked (`Pre-Depends`).
    pub core: Vec<Vec<String>>,
    /// The others, in the same way.
    pub others: Vec<Vec<String>>,
    /// What is left out of them.
    pub filter: PathFilter,
    /// `os/arch[/variant]`.
    pub platform: String,
}

/// Unpacks packages into a layer of the store: what dpkg needs to run. What no package brings is as old as the newest file
/// of them, so that the same packages are the same layer whoever asks.
///
/// # Errors
/// A package cannot be read; the store cannot take the layer.
pub fn unpacked(store: &Store, packages: &[Package], filter: &PathFilter) -> Result<Digest, Error> {
    let scratch = store.scratch_dir()?;
    let packages: Vec<&Package> = packages.iter().collect();
    let files = files_of_all(&packages, filter, scratch.path())?;
    let newest = files.iter().flatten().map(|change| change.meta.mtime).max().unwrap_or_default();
    let mut tree = DebTree::merged_usr(&MERGED, &Meta::new(0o755, newest))?;
    for (package, changes) in packages.iter().zip(files) {
        tree.add(&package.name(), changes)?;
    }
    layer(store, tree.into_changes())
}

/// Makes changes a layer of the store; directories that hold something and are missing are root's.
pub(crate) fn layer(store: &Store, changes: Vec<Change>) -> Result<Digest, Error> {
    let mut tar = store.tar_draft()?;
    let mut writer = LayerWriter::new().sink(&mut tar);
    writer.push_all(changes)?;
    let written = writer.finish()?;
    store.put_layer(&written, NewForms { tar: Some(tar), ..NewForms::default() })?;
    Ok(written.diff_id)
}

/// What one step installs.
struct Part<'a> {
    /// The directory of the context.
    dir: &'a str,
    essential: &'a [String],
    groups: &'a [Vec<String>],
}

impl Install {
    fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = vec![Part { dir: CORE, essential: &self.essential, groups: &self.core }];
        if !self.others.is_empty() {
            parts.push(Part { dir: OTHERS, essential: &[], groups: &self.others });
        }
        parts
    }
}

/// The graph in which dpkg installs them on top of what was unpacked, in one step or two; its last node is the result.
pub fn graph(first: Digest, config: Digest, install: &Install) -> (Arc<Graph>, NodeId) {
    let mut graph = Graph::default();
    let parts = install.parts();
    let steps = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let about = |text: &str, step| About { text: text.to_owned(), step, steps, ..About::default() };
    let node = |op, base, about| Node {
        op,
        base,
        inputs: Vec::new(),
        after: Vec::new(),
        about,
        reuse: Reuse::Always,
    };
    let source = ImageSource { display: "unpacked packages".to_owned(), config, diff_ids: vec![first] };
    let mut last = graph.add(node(Op::Image(source), None, about("unpacked packages", 0)));
    for (part, step) in parts.iter().zip(1..) {
        let count = part.essential.len() + part.groups.iter().map(Vec::len).sum::<usize>();
        let about = about(&format!("dpkg --install {count} packages"), step);
        last = graph.add(node(Op::Run(Box::new(run(install, part))), Some(last), about));
    }
    (Arc::new(graph), last)
}

fn run(install: &Install, part: &Part<'_>) -> Run {
    let env = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("LC_ALL", "C.UTF-8"),
        ("HOME", "/root"),
    ];
    let bind = MountKind::Bind {
        from: FilesFrom::Context(DEBS.to_owned()),
        source: GuestPath::new(&format!("/{}", part.dir)).unwrap_or_else(|_| GuestPath::root()),
        writable: false,
    };
    Run {
        argv: vec!["/bin/sh".to_owned(), "-ec".to_owned(), script(install, part)],
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        hidden_env: Vec::new(),
        cwd: GuestPath::root(),
        user: String::new(),
        network: Network::None,
        security: Security::Sandbox,
        mounts: vec![Mount {
            target: GuestPath::new(ARCHIVES).unwrap_or_else(|_| GuestPath::root()),
            kind: bind,
        }],
        hostname: Some("localhost".to_owned()),
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        devices: Vec::new(),
        platform: install.platform.clone(),
    }
}

/// The script of a step. Services are not started while packages are installed (policy-rc.d(8)).
fn script(install: &Install, part: &Part<'_>) -> String {
    let mut script = format!("cd {ARCHIVES}\n");
    script += "policy=/usr/sbin/policy-rc.d; printf '#!/bin/sh\\nexit 101\\n' >$policy; chmod 755 $policy\n";
    let config = install.filter.config();
    if !config.is_empty() && part.dir == CORE {
        script += "mkdir -p /etc/dpkg/dpkg.cfg.d; cat >/etc/dpkg/dpkg.cfg.d/slim <<'END'\n";
        script += &config;
        script += "END\n";
    }
    // Scripts of packages make links in there (openjdk's alternatives), and fail where there is no such directory. All
    // that lies there in the end was made by them.
    let has_manuals = TreePath::new("usr/share/man/man1/x").is_ok_and(|path| install.filter.takes(&path));
    if !has_manuals {
        script += "for section in 1 3 5 7 8; do mkdir -p /usr/share/man/man$section; done\n";
    }
    let dpkg = "dpkg --force-unsafe-io --log=/dev/null";
    if !part.essential.is_empty() {
        // What is essential needs each other in circles, and nothing of it has run yet.
        script += &format!("{dpkg} --force-depends --install {}\n", part.essential.join(" "));
    }
    for group in part.groups {
        script += &format!("{dpkg} --install {}\n", group.join(" "));
    }
    // As apt makes them when it runs for the first time.
    script += "for dir in /var/cache/apt/archives/partial /var/lib/apt/lists/partial; do\n";
    script += "[ ! -d $dir ] || { chmod 700 $dir; ! id _apt >/dev/null 2>&1 || chown _apt $dir; }\ndone\n";
    script += "rm -f $policy\n";
    if !has_manuals {
        script += "rm -rf /usr/share/man/*\n";
    }
    script
}

/// What is left behind by installing and differs each time: logs, and what is made anew when it is missing.
pub(crate) const LEFT_BEHIND: [&str; 10] = [
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/shadow-",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/status-old",
    "var/log/alternatives.log",
];

/// What tells files of packages from those that scripts made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// When the newest of the packages was built.
    pub packages: Time,
    /// The time of the image.
    pub image: Time,
}

/// A file that no package brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its absolute path.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// One layer of all that is seen of these, with further files.
///
/// # Errors
/// A layer cannot be unpacked; the store cannot take the result.
pub fn squashed(
    store: &Arc<Store>,
    layers: &[Digest],
    (extra, dates): (&[Extra], Dates),
) -> Result<Digest, Error> {
    let mut changes: std::collections::BTreeMap<TreePath, Change> =
        ireko_image::merged(store, layers)?.into_iter().map(|change| (change.path.clone(), change)).collect();
    for path in LEFT_BEHIND {
        changes.remove(&TreePath::new(path)?);
    }
    let items: Vec<Item> = extra
        .iter()
        .map(|Extra { path, bytes, mode }| {
            Item::new(path, Content::Bytes { bytes: bytes.clone(), mode: *mode })
        })
        .collect();
    for change in pieces::changes_of(&items, dates.image)? {
        match (&change.kind, changes.get(&change.path)) {
            (ChangeKind::Dir { .. }, Some(_)) => {}
            _ => {
                changes.insert(change.path.clone(), change);
            }
        }
    }
    undated(&mut changes, dates)?;
    layer(store, changes.into_values().collect())
}

/// Takes the day of the making out of what scripts left: times of files, and the days on which `/etc/shadow` says that
/// passwords were changed. The image's time stands there instead, whenever the step ran: it may have been remembered.
pub(crate) fn undated(
    changes: &mut std::collections::BTreeMap<TreePath, Change>,
    Dates { packages, image }: Dates,
) -> Result<(), Error> {
    for change in changes.values_mut() {
        let was = change.meta.mtime;
        change.meta.mtime = if was > packages { image } else { was.min(image) };
    }
    let path = TreePath::new("etc/shadow")?;
    if let Some(Change { kind: ChangeKind::File(data), .. }) = changes.get_mut(&path) {
        let day = |time: Time| time.secs / (24 * 3600);
        *data = Data::memory(changed_on(&data.read(&path)?, day(packages), day(image)));
    }
    Ok(())
}

/// A list of passwords (shadow(5)) with one day since 1970 in place of all from `begin` on. Of none the day is left out,
/// since 0 would ask for a new password.
fn changed_on(shadow: &[u8], begin: i64, day: i64) -> Vec<u8> {
    let day = if day > 0 { day.to_string() } else { String::new() };
    let line = |line: &[u8]| {
        let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let changed = fields.get(2).and_then(|field| std::str::from_utf8(field).ok()?.parse::<i64>().ok());
        if changed.is_some_and(|changed| changed >= begin.max(1)) {
            fields[2] = day.as_bytes();
        }
        fields.join(&b':')
    };
    shadow.split(|byte| *byte == b'\n').map(line).collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_was_changed_on_the_day_of_the_making() {
        let check = |(begin, day): (i64, i64), before: &str, after: &str| {
            assert_eq!(String::from_utf8_lossy(&changed_on(before.as_bytes(), begin, day)), after);
        };
        let two = "root:*:20786:0:99999:7:::\nredis:!:19000::::::\n";
        check((20_000, 20_100), two, "root:*:20100:0:99999:7:::\nredis:!:19000::::::\n");
        check((20_786, 30_000), two, "root:*:30000:0:99999:7:::\nredis:!:19000::::::\n");
        check((20_787, 30_000), two, two);
        check((0, 0), two, "root:*::0:99999:7:::\nredis:!:::::::\n");
        for kept in ["", "\n", "root", "root:*", "root:*:soon:0", "root:*:0:0:99999:7:::\n", "a:b:\n::\n"] {
            check((0, 0), kept, kept);
        }
    }

    #[test]
    fn what_was_made_on_any_day_after_the_packages_is_the_same() {
        let time = |secs| Time::new(secs * 24 * 3600, 7);
        let made = |day: i64, image: i64| {
            let change = |path: &str, time, text: &str| {
                let path = TreePath::new(path).expect("a path");
                let data = Data::memory(text.as_bytes().to_vec());
                (path.clone(), Change::new(path, Meta::new(0o644, time), ChangeKind::File(data)))
            };
            let shadow = format!("app:!:{day}::::::\n");
            let mut changes = std::collections::BTreeMap::from([
                change("etc/shadow", time(day), &shadow),
                change("usr/bin/app", time(90), "program"),
                change("var/lib/app/made", time(day), "made"),
            ]);
            undated(&mut changes, Dates { packages: time(100), image: time(image) }).expect("read");
            let seen = |change: &Change| match &change.kind {
                ChangeKind::File(data) => (change.meta.mtime, data.read(&change.path).expect("read")),
                _ => unreachable!("all are files"),
            };
            changes.values().map(seen).collect::<Vec<_>>()
        };
        for image in [0, 50, 95, 150, 300, 500] {
            assert_eq!(made(120, image), made(400, image), "an image of day {image}");
        }
        assert_eq!(made(120, 300)[1].0, time(90), "a package's file keeps its own");
    }
}
