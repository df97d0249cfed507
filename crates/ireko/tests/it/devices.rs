//! Devices of this machine in steps: found by their files, opened by the step, refused where nobody allowed them.

use crate::support::{Place, Said};
use std::fs;

/// Devices that every machine has, under names of ours.
const SPEC: &str = r#"
cdiVersion: "0.6.0"
kind: vendor.com/test
containerEdits:
  env: [FROM_SPEC=yes]
devices:
- name: full
  containerEdits:
    env: [WHICH=full]
    deviceNodes: [{path: /dev/its-full, hostPath: /dev/full}]
- name: zero
  containerEdits:
    deviceNodes: [{path: /opt/zero, hostPath: /dev/zero, fileMode: 0640, uid: 5, gid: 7}]
    mounts: [{hostPath: HOST/library, containerPath: /opt/library, options: [ro, nosuid, nodev, bind]}]
- name: free
  annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
  containerEdits: {env: [FREE=1]}
- name: hooked
  containerEdits:
    hooks: [{hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache]}]
- name: gone
  containerEdits: {deviceNodes: [{path: /dev/no-such-device}]}
"#;

/// Places of root and of an ordinary user, with the devices.
fn places() -> impl Iterator<Item = Place> {
    [Place::with_base(), Place::ordinary_with_base()].into_iter().flatten().inspect(|place| {
        let dir = place.path("cdi");
        fs::create_dir_all(&dir).expect("a directory");
        let host = place.path("");
        fs::write(
            dir.join("test.yaml"),
            SPEC.replace("HOST", host.to_str().expect("text").trim_end_matches('/')),
        )
        .expect("a file");
        fs::write(place.path("library"), "of the host\n").expect("a file");
    })
}

fn build(place: &Place, flags: &[&str], run: &str) -> Said {
    let dir = place.path("cdi");
    let spec_dir = format!("--cdi-spec-dir={}", dir.display());
    place.dockerfile(&format!("FROM base\nRUN {run}\n"));
    place.build(&[&["--progress=plain", spec_dir.as_str()], flags].concat())
}

#[test]
fn a_step_has_the_devices_it_asks_for() {
    for place in places() {
        let full = "test -c /dev/its-full && ! echo x >/dev/its-full && echo $FROM_SPEC $WHICH >/seen";
        build(&place, &["--allow", "device"], &format!("--device=vendor.com/test=full {full}")).ok();
        assert_eq!(
            place.inside("cat /seen; ls /dev/its-full 2>&1 || true"),
            "yes full\nls: /dev/its-full: No such file or directory\n".to_owned()
        );
        let zero = "head -c 3 /opt/zero | wc -c >/seen; cat /opt/library >>/seen; ! echo x 2>/dev/null >>/opt/library";
        let allow = ["--allow=device=vendor.com/test=zero,alias=nothing"];
        build(&place, &allow, &format!("--device=nothing,required {zero}")).ok();
        // Nothing of it is in the layer.
        assert_eq!(place.inside("cat /seen; test ! -e /opt && echo gone"), "3\nof the host\ngone\n");
    }
}

#[test]
fn a_device_of_roots_has_the_mode_and_owner_it_is_described_with() {
    let Some(place) = places().next().filter(|_| rustix::process::geteuid().is_root()) else { return };
    let run = "--device=vendor.com/test=zero stat -c '%a %u %g' /opt/zero >/seen; chmod 600 /opt/zero";
    build(&place, &["--allow=device=vendor.com/test"], run).ok();
    assert_eq!(place.inside("cat /seen"), "640 5 7\n");
    // The machine's own is left alone.
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata("/dev/zero").expect("a device").permissions().mode() & 0o777, 0o666);
}

#[test]
fn a_device_is_allowed_by_name_by_itself_or_not_at_all() {
    for place in places() {
        let said = build(&place, &[], "--device=vendor.com/test=full echo reached").fails(
            2,
            &[
                "device `vendor.com/test=full` was not allowed",
                "2 | RUN --device=vendor.com/test=full",
                "hint: if that is meant, give `--allow device=vendor.com/test=full`",
            ],
        );
        assert!(!said.stderr.contains("| reached"), "{}", said.stderr);
        build(&place, &["--allow=device=vendor.com/test=zero"], "--device=vendor.com/test=full true")
            .fails(2, &["was not allowed"]);
        build(&place, &[], "--device=vendor.com/test=free test $FREE = 1").ok();
        // A flag gives it to every step, and is leave enough.
        build(&place, &["--device", "vendor.com/test=full"], "test -c /dev/its-full").ok();
    }
}

#[test]
fn missing_devices_are_skipped_or_refused() {
    for place in places() {
        let said = build(&place, &["--allow=device"], "--device=vendor.com/tset=full echo went on").ok();
        assert!(
            said.stderr.contains("warning: this machine has no device `vendor.com/tset=full`"),
            "{}",
            said.stderr
        );
        build(&place, &["--allow=device"], "--device=vendor.com/test=ful,required true").fails(
            3,
            &[
                "device `vendor.com/test=ful` is required",
                "2 | RUN --device",
                "did you mean `vendor.com/test=full`",
            ],
        );
        build(&place, &["--device", "/dev/fuse"], "true").fails(2, &["`/dev/fuse` is no name of a device"]);
        build(&place, &["--allow=device"], "--device=vendor.com/test=hooked true").fails(
            3,
            &[
                "needs a hook (`createContainer`: `/usr/bin/nvidia-cdi-hook update-ldcache`)",
                "test.yaml",
                "hint: describe",
            ],
        );
        build(&place, &["--allow=device"], "--device=vendor.com/test=gone true")
            .fails(3, &["needs `/dev/no-such-device`, which cannot be had", "2 | RUN --device"]);
    }
}

#[test]
fn a_known_step_needs_no_device() {
    for place in places() {
        let run = "--device=vendor.com/test=full,required=false echo $WHICH >/seen";
        build(&place, &["--allow=device"], run).ok();
        let again = build(&place, &["--allow=device"], run).ok();
        assert_eq!(again.ran(), Vec::<String>::new(), "{}", again.stderr);
        let other = run.replace("=full,", "=free,");
        assert_eq!(
            build(&place, &["--allow=device"], &other).ok().ran().len(),
            1,
            "another device, another step"
        );
    }
}

#[test]
fn a_container_has_the_devices_it_is_given() {
    for place in places() {
        let dir = format!("--cdi-spec-dir={}", place.path("cdi").display());
        let run = |device: &str, command: &str| {
            place.ireko(&["run", "--rm", &dir, "--device", device, "base", "sh", "-c", command])
        };
        let full = "test -c /dev/its-full && ! echo x >/dev/its-full && echo $FROM_SPEC $WHICH";
        let said = run("vendor.com/test=full", full).ok();
        assert_eq!(said.stdout, "yes full\n", "{}", said.stderr);
        let zero = "head -c 3 /opt/zero | wc -c; cat /opt/library";
        assert_eq!(run("vendor.com/test=zero", zero).ok().stdout, "3\nof the host\n");
        run("vendor.com/test=ful", "true").fails(125, &["vendor.com/test=ful", "vendor.com/test=full"]);
        run("vendor.com/test=hooked", "true").fails(125, &["nvidia-cdi-hook"]);
        run("vendor.com/test=gone", "true").fails(125, &["/dev/no-such-device"]);
        place.nothing_mounted();
    }
}
