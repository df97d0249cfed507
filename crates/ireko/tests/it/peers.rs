//! Other programs read what we write, we read what they write, and a container does the same here and there.
//!
//! The peers are Debian's skopeo, umoci, podman, buildah, docker-registry and Docker engine, each with a store, a
//! socket or a port of its own. Debian's engine reads docker archives only, and its umoci no zstd: so those are held
//! against what these can read.

mod formats;
mod layers;
mod nginx;
mod platforms;
mod runs;
mod tree;

use crate::support::{Place, Said, is_root};
use ireko_testkit::TarStream;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

/// What the entry point of the odd image says of its surroundings.
const PROBE: &str = r#"#!/bin/sh
echo "$# arguments"
for word; do echo "[$word]"; done
pwd
id
umask
env | sort
grep -E '^(Umask|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/self/status
echo "to the other stream" >&2
"#;

/// Something of everything that a layer can hold and a config can say.
const ODD: &str = r#"FROM base
ADD odd.tar /odd/
COPY tree/ /tree/
COPY --chmod=755 probe /usr/bin/probe
RUN mkdir /tree/modes && cd /tree/modes && for mode in 0 444 1777 2755 4755 6711; do echo $mode >$mode; done && \
    for mode in 0 444 1777 2755 4755 6711; do chmod $mode $mode; done && \
    mkdir sticky && chmod 1777 sticky && mkdir closed && chmod 700 closed && chown 1000:1001 closed 444 && \
    mkfifo pipe && chmod 640 pipe && ln -s 444 link && ln -s /nowhere dangling && ln -s ../../.. out && \
    chown -h 1000:1000 link && ln 444 hard && ln 444 closed/hard
RUN rm -rf /tree/gone /odd/gone && rm -rf /tree/replaced && mkdir /tree/replaced && echo new >/tree/replaced/new && \
    rm -rf /tree/became-file && echo file >/tree/became-file && rm /tree/became-dir && mkdir /tree/became-dir && \
    ln /tree/lower /tree/of-lower && chmod 600 /tree/hard/one
LABEL plain=text quoted="with \"quotes\", a comma and = signs" empty=""
ENV ONE=1 SPACED="two words" EMPTY="" UMLAUT=ä
EXPOSE 80 53/udp 8000-8002
VOLUME /data /tree/volume
WORKDIR /work/deep
USER app:extra
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=4 CMD probe || exit 1
ENTRYPOINT ["probe", "first"]
CMD ["second", "third word"]
"#;

/// Steps that only root can take.
const ODD_OF_ROOT: &str = "RUN mknod /tree/modes/char c 1 3 && mknod /tree/modes/block b 7 0 && chmod 604 /tree/modes/block && chown 5:6 /tree/modes/char\n";

/// `cap_net_raw+ep`, as it lies on disk.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A name that is no UTF-8, and one of this many bytes in all.
const RAW_NAME: &[u8] = b"latin-\xe4\xff";

/// Fills the context of the odd image and builds it as `app`, with these further flags.
fn build_odd(place: &Place, flags: &[&str]) -> Said {
    let tree = place.context().join("tree");
    for path in ["gone/f", "replaced/old", "became-file/f", "became-dir", "lower", "hard/one", "volume/kept"]
    {
        place.file(&format!("tree/{path}"), path);
    }
    fs::hard_link(tree.join("hard/one"), tree.join("hard/two")).expect("a link");
    fs::write(tree.join(OsStr::from_bytes(RAW_NAME)), "raw").expect("a file");
    // More than 100 bytes in one name, and more than 255 in a path.
    let long = format!("tree/{0}/{0}/{0}/{1}", "directory-".repeat(9), "n".repeat(150));
    place.file(&long, "far away");
    let sparse = fs::File::create(tree.join("sparse")).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"at the end", 1 << 20).expect("bytes");
    place.file("probe", PROBE);
    let mut odd = TarStream::new()
        .dir("./")
        .owner(7, 8)
        .mode(0o2750)
        .dir("owned")
        .file("owned/file", "of 7")
        .file("gone", "not for long")
        .pax(&[("SCHILY.xattr.user.note", b"a note"), ("SCHILY.xattr.user.raw", b"\x00\xff\n=")])
        .file("noted", "has attributes")
        .hardlink("noted-too", "noted");
    if is_root() {
        odd = odd
            .owner(0, 0)
            .pax(&[("SCHILY.xattr.security.capability", &CAPABILITY)])
            .mode(0o755)
            .file("capable", "may open raw sockets")
            .owner(4_000_000, 3_000_000)
            .file("far-owner", "numbers beyond the fields of a header");
    }
    fs::write(place.context().join("odd.tar"), odd.bytes()).expect("a tar");
    let text = if is_root() { ODD.replace("LABEL", &format!("{ODD_OF_ROOT}LABEL")) } else { ODD.to_owned() };
    place.dockerfile(&text);
    place.build(flags).ok()
}

/// Whether the tests run as root; says so where they do not.
fn need_root() -> bool {
    if !is_root() {
        eprintln!("skipped because only root has these peers run");
    }
    is_root()
}

/// Gives a peer a runtime directory of its own. Without one skopeo and its kin look for logins in /run/containers,
/// which root's peers may have made for root alone.
fn own_runtime<'a>(place: &Place, command: &'a mut Command) -> &'a mut Command {
    command.env("XDG_RUNTIME_DIR", place.path(""))
}

/// Runs a peer, which must succeed.
#[track_caller]
fn peer(place: &Place, program: &str, args: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args(args).current_dir(place.path(""));
    said_by(own_runtime(place, &mut command))
}

/// What a command says, which must succeed.
#[track_caller]
fn said_by(command: &mut Command) -> String {
    let said = Said::of(command.stdin(Stdio::null()).output().expect("a peer starts"));
    assert_eq!(said.code, 0, "{command:?}\nstdout:\n{}\nstderr:\n{}", said.stdout, said.stderr);
    said.stdout
}
