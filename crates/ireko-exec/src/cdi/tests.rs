//! Files in, devices out: what is found by which name, and what a step is given.

use super::*;
use std::fs;
use tempfile::TempDir;

const GPU: &str = r#"
cdiVersion: "0.6.0"
kind: vendor.com/gpu
annotations: {org.mobyproject.buildkit.device.class: any}
containerEdits:
  env: [GPU=yes]
devices:
- name: 0
  containerEdits:
    env: ["WHICH=0"]
    deviceNodes:
    - {path: /dev/gpu0, hostPath: /dev/null, fileMode: 0660, gid: 7, permissions: rw}
- name: "1"
  annotations:
    org.mobyproject.buildkit.device.class: big
    org.mobyproject.buildkit.device.autoallow: "true"
  containerEdits:
    env: ["WHICH=1"]
    deviceNodes: [{path: /dev/full, type: c, major: 1, minor: 7}]
    mounts:
    - {hostPath: /usr/lib/gpu.so, containerPath: /lib/gpu.so, options: [ro, nosuid, nodev, rbind, rprivate]}
    additionalGids: [44]
"#;

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn read(files: &[(&str, &str)]) -> Devices {
    let dir = dir(files);
    Devices::read(&[PathBuf::from("/no/such/directory"), dir.path().to_owned()])
}

fn all() -> Allowed {
    Allowed { all: true, ..Allowed::default() }
}

#[track_caller]
fn check(asked: &str, expected: &[&str]) {
    let asked = [Device { name: asked.to_owned(), required: false }];
    let (found, absent) = read(&[("gpu.yaml", GPU)]).wanted(&asked, &all()).unwrap();
    assert_eq!(found, expected, "{asked:?}");
    assert_eq!(absent.len(), usize::from(expected.is_empty()));
}

#[test]
fn names_find_devices() {
    check("vendor.com/gpu=0", &["vendor.com/gpu=0"]);
    check("vendor.com/gpu", &["vendor.com/gpu=0"]);
    check("vendor.com/gpu=*", &["vendor.com/gpu=0", "vendor.com/gpu=1"]);
    check("vendor.com/gpu=big", &["vendor.com/gpu=1"]);
    check("vendor.com/gpu=any", &["vendor.com/gpu=0"]);
    check("gpu", &["vendor.com/gpu=0"]);
    check("gpu=1", &["vendor.com/gpu=1"]);
    check("vendor.com/gpu=2", &[]);
    check("other.com/gpu", &[]);
    check("npu", &[]);
}

#[track_caller]
fn check_refused(asked: &str, allowed: &Allowed, says: &[&str]) {
    let asked = [Device { name: asked.to_owned(), required: true }];
    let error = read(&[("gpu.yaml", GPU), ("broken.json", "{")]).wanted(&asked, allowed).unwrap_err();
    let text = format!("{error}; {}", error.hint().unwrap_or_default());
    says.iter().for_each(|word| assert!(text.contains(word), "`{word}` is not in {text}"));
}

#[test]
fn what_is_missing_or_not_allowed_is_told() {
    let missing = ["`vendor.com/gpu=2` is required", "did you mean `vendor.com/gpu=0`", "broken.json", "EOF"];
    check_refused("vendor.com/gpu=2", &all(), &missing);
    check_refused(
        "vendor.com/gpu=0",
        &Allowed::default(),
        &["was not allowed", "`--allow device=vendor.com/gpu=0`"],
    );
    for name in ["", "/dev/fuse", "vendor.com/", "vendor.com/gpu=a b", "vendor.com/gpu=-", "1/2"] {
        check_refused(name, &all(), &["is no name of a device", "vendor.com/class=name"]);
    }
}

#[test]
fn what_is_allowed() {
    let devices = read(&[("gpu.yaml", GPU)]);
    let asked = |name: &str| [Device { name: name.to_owned(), required: true }];
    let named = |name: &str| Allowed { names: vec![name.to_owned()], ..Allowed::default() };
    for name in ["vendor.com/gpu=0", "vendor.com/gpu", "vendor.com/gpu=*"] {
        assert!(devices.wanted(&asked("vendor.com/gpu=0"), &named(name)).is_ok(), "{name}");
    }
    assert!(devices.wanted(&asked("vendor.com/gpu=0"), &named("vendor.com/gpu=1")).is_err());
    // This one says itself that it needs no leave.
    assert!(devices.wanted(&asked("vendor.com/gpu=1"), &Allowed::default()).is_ok());
    let aliases = [("it".to_owned(), "vendor.com/gpu=0".to_owned())].into();
    let (found, _) = devices.wanted(&asked("it"), &Allowed { aliases, ..Allowed::default() }).unwrap();
    assert_eq!(found, ["vendor.com/gpu=0"]);
}

#[test]
fn what_is_given() {
    let devices = read(&[("gpu.yaml", GPU)]);
    let given = devices.given(&["vendor.com/gpu=0".to_owned(), "vendor.com/gpu=1".to_owned()]).unwrap();
    let env: Vec<String> = given.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["GPU=yes", "WHICH=0", "WHICH=1"]);
    let [first, second] = given.nodes.as_slice() else { panic!("{:?}", given.nodes) };
    assert_eq!((first.host.to_str(), first.path.to_str()), (Some("/dev/null"), Some("/dev/gpu0")));
    assert_eq!((first.mode, first.uid, first.gid), (Some(0o660), None, Some(7)));
    assert_eq!((second.kind, second.number), (Some(NodeKind::Character), Some((1, 7))));
    let mount = &given.mounts[0];
    assert_eq!((mount.read_only, mount.no_set_id, mount.no_execution), (true, true, false));
    assert_eq!(given.groups, [44]);
}

/// One device with these edits, as JSON; the name is `v.com/c=d`.
fn one(edits: &str) -> String {
    format!(
        r#"{{"cdiVersion": "0.5.0", "kind": "v.com/c", "devices": [{{"name": "d", "containerEdits": {edits}}}]}}"#
    )
}

#[test]
fn what_cannot_be_done_is_named() {
    let cases = [
        (
            r#"{"hooks": [{"hookName": "createContainer", "path": "/usr/bin/hook", "args": ["hook", "update-ldcache"]}]}"#,
            "a hook (`createContainer`: `/usr/bin/hook update-ldcache`)",
        ),
        (r#"{"intelRdt": {"closID": "x"}}"#, "needs `intelRdt`"),
        (r#"{"netDevices": [{"hostInterfaceName": "eth0"}]}"#, "needs `netDevices`"),
        (
            r#"{"deviceNodes": [{"path": "/dev/a", "permissions": "r"}]}"#,
            "`/dev/a` with permissions `r` and no more",
        ),
        (r#"{"deviceNodes": [{"path": "/dev/a", "type": "p"}]}"#, "a device file of type `p`"),
        (r#"{"deviceNodes": [{"path": "dev/a"}]}"#, "`dev/a`, which is not absolute"),
        (
            r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "proc"}]}"#,
            "a mount of type `proc`",
        ),
        (
            r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["shared"]}]}"#,
            "the option `shared`",
        ),
        (r#"{"env": ["=x"]}"#, "the variable `=x`"),
    ];
    for (edits, says) in cases {
        let error = read(&[("v.json", &one(edits))]).check(&["v.com/c=d".to_owned()]).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.hint().is_some(), edits.contains("hooks"));
    }
    let nothing = r#"{"env": null, "intelRdt": null, "hooks": []}"#;
    assert!(read(&[("v.json", &one(nothing))]).check(&["v.com/c=d".to_owned()]).is_ok());
}

#[test]
fn files_that_cannot_be_used_are_left_out() {
    for (name, text) in [
        ("a.yaml", "devices: [\n"),
        ("a.yaml", "kind: v.com/c\ndevices: []\n"),
        ("a.json", r#"{"cdiVersion": "2.0.0", "kind": "v.com/c", "devices": []}"#),
        ("a.json", r#"{"cdiVersion": "0.6.0", "kind": "c", "devices": []}"#),
        ("a.json", r#"{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{"name": "a b"}]}"#),
        ("a.yml", "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"),
        ("a.yml", "\u{0}"),
    ] {
        assert_eq!(read(&[(name, text)]).broken.len(), 1, "{text}");
    }
    let devices = read(&[("notes.txt", "x"), ("a.json", &one("{}"))]);
    assert!(devices.broken.is_empty());
    assert_eq!(devices.known.len(), 1);
}

#[test]
fn later_directories_win_and_one_has_a_name_once() {
    let (first, second) =
        (dir(&[("a.json", &one(r#"{"env": ["A=1"]}"#))]), dir(&[("b.json", &one(r#"{"env": ["A=2"]}"#))]));
    let devices = Devices::read(&[first.path().to_owned(), second.path().to_owned()]);
    let names = ["v.com/c=d".to_owned()];
    assert_eq!(devices.given(&names).unwrap().env, [("A".to_owned(), "2".to_owned())]);
    let twice = read(&[("a.json", &one("{}")), ("b.json", &one("{}"))]);
    assert!(twice.check(&names).unwrap_err().to_string().contains("is in two files"));
}
