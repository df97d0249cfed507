//! Every declared input changes the key, and nothing else does.

use super::*;
use crate::graph::{About, NodeId, Reuse};
use ireko_oci::{Digest, GuestPath};

fn path(text: &str) -> GuestPath {
    GuestPath::new(text).expect("a path")
}

fn mount(kind: MountKind) -> Mount {
    Mount { target: path("/m"), kind }
}

fn bind() -> MountKind {
    MountKind::Bind { from: FilesFrom::Context("context".into()), source: path("/s"), writable: false }
}

fn cache(id: &str, sharing: Sharing, read_only: bool) -> MountKind {
    let (from, source) = (FilesFrom::Empty, path("/"));
    MountKind::Cache { id: id.into(), sharing, from, source, mode: 0o755, uid: 0, gid: 0, read_only }
}

fn secret(id: &str, env: Option<&str>, file: bool) -> MountKind {
    let env = env.map(str::to_owned);
    MountKind::Secret { id: id.into(), required: false, mode: 0o400, uid: 0, gid: 0, env, file }
}

fn run() -> Run {
    Run {
        argv: vec!["sh".into(), "-c".into(), "make".into()],
        env: vec![("A".into(), "1".into())],
        hidden_env: Vec::new(),
        cwd: path("/w"),
        user: String::new(),
        network: Network::Default,
        security: Security::Sandbox,
        mounts: vec![mount(bind())],
        hostname: None,
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        devices: Vec::new(),
        platform: "linux/amd64".into(),
    }
}

fn device(name: &str) -> Device {
    Device { name: name.into(), required: true }
}

fn copy() -> Copy {
    Copy {
        items: vec![CopyItem::Files { from: FilesFrom::Context("context".into()), pattern: "a".into() }],
        dest: path("/d"),
        dest_is_dir: false,
        owner: None,
        mode: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    }
}

fn node(op: Op) -> Node {
    Node {
        op,
        base: None,
        inputs: Vec::new(),
        after: Vec::new(),
        about: About::default(),
        reuse: Reuse::Always,
    }
}

fn key(op: Op) -> Key {
    Declared::of(&node(op), Some(TreeId::empty()), &[SelectionId([1; 32])], "full").key()
}

#[track_caller]
fn all_differ(keys: &[Key]) {
    let mut sorted = keys.to_vec();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), keys.len(), "two of these have one key");
}

type Change<T> = fn(&mut T);

fn keys_of<T: Clone>(start: &T, changes: &[Change<T>], key: impl Fn(T) -> Key) -> Vec<Key> {
    let changed = changes.iter().map(|change| {
        let mut value = start.clone();
        change(&mut value);
        key(value)
    });
    std::iter::once(key(start.clone())).chain(changed).collect()
}

#[test]
fn every_parameter_of_a_run_counts() {
    let changes: &[Change<Run>] = &[
        |run| run.argv = vec!["sh".into(), "-c make".into()],
        |run| run.argv.push(String::new()),
        |run| run.env[0].1 = "2".into(),
        |run| run.env.push(("B".into(), String::new())),
        |run| run.env.clear(),
        |run| run.cwd = path("/x"),
        |run| run.user = "1".into(),
        |run| run.network = Network::None,
        |run| run.security = Security::Insecure,
        |run| run.hostname = Some(String::new()),
        |run| run.extra_hosts = vec![("a".into(), "::1".into())],
        |run| run.shm_size = Some(1),
        |run| run.ulimits = vec![("nofile".into(), 1, 2)],
        |run| run.ulimits = vec![("nofile".into(), 1, 3)],
        |run| run.devices = vec![device("a")],
        |run| run.platform = "linux/arm64".into(),
        |run| run.mounts.clear(),
        |run| run.mounts[0].target = path("/n"),
        |run| run.mounts.push(mount(bind())),
        |run| run.mounts = vec![mount(MountKind::Tmpfs { size: None })],
        |run| run.mounts = vec![mount(MountKind::Tmpfs { size: Some(9) })],
        |run| run.mounts = vec![mount(cache("a", Sharing::Shared, false))],
        |run| run.mounts = vec![mount(cache("b", Sharing::Shared, false))],
        |run| run.mounts = vec![mount(cache("a", Sharing::Locked, false))],
        |run| run.mounts = vec![mount(cache("a", Sharing::Shared, true))],
        |run| run.mounts = vec![mount(secret("a", None, true))],
        |run| run.mounts = vec![mount(secret("b", None, true))],
        |run| run.mounts = vec![mount(secret("a", Some("A"), true))],
        |run| run.mounts = vec![mount(secret("a", Some("A"), false))],
        |run| run.mounts = vec![mount(MountKind::Inline { bytes: b"x".to_vec(), mode: 0o755 })],
        |run| run.mounts = vec![mount(MountKind::Inline { bytes: b"x".to_vec(), mode: 0o644 })],
    ];
    all_differ(&keys_of(&run(), changes, |run| key(Op::Run(Box::new(run)))));
}

#[test]
fn every_parameter_of_a_copy_counts() {
    let changes: &[Change<Copy>] = &[
        |copy| copy.items = vec![CopyItem::Inline { name: "a".into(), bytes: Vec::new() }],
        |copy| copy.items = vec![CopyItem::Inline { name: "a".into(), bytes: b"1".to_vec() }],
        |copy| copy.items.push(copy.items[0].clone()),
        |copy| copy.items[0] = CopyItem::Files { from: FilesFrom::Input(0), pattern: "a".into() },
        |copy| copy.items[0] = CopyItem::Files { from: FilesFrom::Empty, pattern: "b".into() },
        |copy| copy.dest = path("/e"),
        |copy| copy.dest_is_dir = true,
        |copy| copy.owner = Some("0".into()),
        |copy| copy.owner = Some(String::new()),
        |copy| copy.mode = Some("755".into()),
        |copy| copy.link = true,
        |copy| copy.parents = true,
        |copy| copy.excludes = vec!["a".into()],
        |copy| copy.excludes = vec!["a".into(), "b".into()],
        |copy| copy.unpack = Unpack::Local,
        |copy| copy.items = vec![CopyItem::Fetched { input: 0, name: "a".into(), unpack: false }],
        |copy| copy.items = vec![CopyItem::Fetched { input: 0, name: "a".into(), unpack: true }],
        |copy| copy.items = vec![CopyItem::Fetched { input: 0, name: String::new(), unpack: false }],
    ];
    all_differ(&keys_of(&copy(), changes, |copy| key(Op::Copy(Box::new(copy)))));
}

#[test]
fn a_source_is_what_it_gives() {
    let http = HttpSource { url: "https://a:pass@h/x".into(), name: "x".into(), checksum: None };
    let elsewhere =
        HttpSource { url: "https://h/y".into(), checksum: Some(Digest::of(b"x")), ..http.clone() };
    assert_eq!(
        key(Op::Http(http.clone())),
        key(Op::Http(elsewhere)),
        "the digest of its bytes says which file"
    );
    let git = GitSource {
        remote: "https://me:pass@h/r.git".into(),
        reference: "main".into(),
        checksum: None,
        subdir: String::new(),
        keep_git_dir: false,
        submodules: true,
        commit_times: false,
        by_commit: false,
    };
    let changes: &[Change<GitSource>] = &[
        |git| git.subdir = "d".into(),
        |git| git.submodules = false,
        |git| git.commit_times = true,
        |git| git.keep_git_dir = true,
        |git| (git.keep_git_dir, git.remote) = (true, "https://h/other.git".into()),
    ];
    let mut keys = keys_of(&git, changes, |git| key(Op::Git(Box::new(git))));
    keys.extend([key(Op::Http(http.clone())), key(Op::Http(HttpSource { name: "y".into(), ..http }))]);
    all_differ(&keys);
    let other = GitSource { remote: "https://h/fork.git".into(), reference: "tag".into(), ..git.clone() };
    assert_eq!(key(Op::Git(Box::new(other))), keys[0], "the commit says which files");
    let op = Op::Git(Box::new(GitSource { keep_git_dir: true, ..git }));
    let fields = Declared::of(&node(op), None, &[], "").fields;
    assert!(fields.iter().all(|(_, value)| !value.windows(4).any(|window| window == b"pass")));
}

#[test]
fn trees_files_and_the_class_of_level_count() {
    let node = node(Op::Run(Box::new(run())));
    let other = TreeId::of_chain("sha256:x");
    all_differ(&[
        Declared::of(&node, Some(TreeId::empty()), &[SelectionId([1; 32])], "full").key(),
        Declared::of(&node, Some(other), &[SelectionId([1; 32])], "full").key(),
        Declared::of(&node, Some(TreeId::empty()), &[SelectionId([2; 32])], "full").key(),
        Declared::of(&node, Some(TreeId::empty()), &[SelectionId([1; 32])], "partial").key(),
        Declared::of(&node, Some(TreeId::empty()), &[], "full").key(),
    ]);
}

#[test]
fn what_is_for_people_does_not_count() {
    let plain = key(Op::Run(Box::new(run())));
    let proxied = Run { hidden_env: vec![("http_proxy".into(), "http://x".into())], ..run() };
    assert_eq!(key(Op::Run(Box::new(proxied))), plain);
    let host = Run { network: Network::Host, ..run() };
    assert_eq!(key(Op::Run(Box::new(host))), plain, "the default network is the host's");
    let about = About { stage: "other".into(), text: "RUN x".into(), line: 7, ..About::default() };
    let told = Node { about, base: Some(NodeId(3)), reuse: Reuse::Never, ..node(Op::Run(Box::new(run()))) };
    let told = Declared::of(&told, Some(TreeId::empty()), &[SelectionId([1; 32])], "full").key();
    assert_eq!(told, plain);
    let named = FilesFrom::Context("other".into());
    let from = Copy { items: vec![CopyItem::Files { from: named, pattern: "a".into() }], ..copy() };
    assert_eq!(key(Op::Copy(Box::new(from))), key(Op::Copy(Box::new(copy()))), "the digest says which files");
    let linked = Op::Copy(Box::new(Copy { link: true, ..copy() }));
    let of = |tree| Declared::of(&node(linked.clone()), Some(tree), &[], "full").key();
    assert_eq!(of(TreeId::empty()), of(TreeId::of_chain("sha256:x")), "a linked copy ignores the tree below");
}

/// The names of all fields, so that a new one cannot be added without a look at the page that explains them.
#[test]
fn the_page_names_every_field() {
    let page = include_str!("../../../../docs/format/cache-key.md");
    let run = Run {
        user: "1".into(),
        hostname: Some("h".into()),
        extra_hosts: vec![("a".into(), "::1".into())],
        shm_size: Some(1),
        ulimits: vec![("nofile".into(), 1, 2)],
        devices: vec![device("d")],
        ..run()
    };
    let declared = Declared::of(&node(Op::Run(Box::new(run))), Some(TreeId::empty()), &[], "full");
    for (name, _) in &declared.fields {
        let word = name.split(' ').next().unwrap_or(name);
        let told = match word {
            "op" => "operation",
            "env" => "environment",
            "argument" => "arguments",
            "sandbox" => "class of the sandbox level",
            "host" | "shm" | "ulimit" | "device" => "host name, extra hosts, shm size, ulimits, devices",
            "no" => continue,
            word => word,
        };
        assert!(page.contains(told), "docs/format/cache-key.md says nothing of `{name}`");
    }
}
