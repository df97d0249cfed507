//! What is read of groups and mounts, as text. Groups on a real kernel are in `tests/kernel`.

use std::path::{Path, PathBuf};

use super::find::{Hierarchy, directories, own_group, owner, process};

#[track_caller]
fn check_own(text: &str, expected: Option<&str>) {
    assert_eq!(own_group(text.as_bytes(), Hierarchy::Unified), expected.map(Path::new), "{text:?}");
}

#[test]
fn the_own_group_is_that_of_the_hierarchy_without_a_name() {
    check_own("0::/\n", Some("/"));
    check_own("0::/user.slice/a b:c.scope\n", Some("/user.slice/a b:c.scope"));
    let hybrid = "9:name=systemd:/init\n4:memory:/api/1\n1:cpu,cpuacct:/\n0::/system.slice/x\n";
    check_own(hybrid, Some("/system.slice/x"));
    check_own("4:memory:/api/1\n1:name=systemd:/0::/\n", None);
    check_own("0::\n", None);
    check_own("", None);
}

const UNIFIED: &str = "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
    31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate\n";
const HYBRID: &str = "31 23 0:29 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

#[track_caller]
fn check_directories(mountinfo: &str, own: &str, expected: Option<&[&str]>) {
    let expected = expected.map(|paths| paths.iter().map(PathBuf::from).collect());
    let found = directories(mountinfo.as_bytes(), Hierarchy::Unified, Path::new(own));
    assert_eq!(found, expected, "{own} in {mountinfo}");
}

#[test]
fn the_own_group_is_found_below_a_mount() {
    check_directories(UNIFIED, "/", Some(&["/sys/fs/cgroup"]));
    check_directories(UNIFIED, "/user.slice/a b", Some(&["/sys/fs/cgroup/user.slice/a b"]));
    check_directories(HYBRID, "/x", Some(&["/sys/fs/cgroup/unified/x"]));
}

#[test]
fn a_mount_may_show_a_part_of_all_groups() {
    let part = "31 22 0:28 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
    check_directories(part, "/docker/1", Some(&["/sys/fs/cgroup"]));
    check_directories(part, "/docker/1/in", Some(&["/sys/fs/cgroup/in"]));
    check_directories(part, "/docker/12", Some(&[]));
    check_directories(part, "/", Some(&[]));
    let above = "31 22 0:28 /../.. /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
    check_directories(above, "/", Some(&[]));
    check_directories(UNIFIED, "/../other", Some(&[]));
}

#[test]
fn the_last_mount_lies_on_top() {
    let both = format!("{UNIFIED}50 22 0:28 / /mnt/with\\040blank\\134 rw - cgroup2 none rw\n");
    check_directories(&both, "/a", Some(&["/mnt/with blank\\/a", "/sys/fs/cgroup/a"]));
}

#[test]
fn no_mount_of_the_hierarchy_is_another_thing_than_a_wrong_one() {
    check_directories("", "/", None);
    check_directories("31 23 0:29 / /sys/fs/cgroup rw - tmpfs cgroup2 rw\n31 - cgroup2\nx\n", "/", None);
}

#[test]
fn names_tell_of_their_makers() {
    for (name, expected) in [
        ("ireko-12-345-0", Some((12, 345))),
        ("ireko-12-345-7", Some((12, 345))),
        ("ireko-12-345", None),
        ("ireko-12-345-7-8", None),
        ("ireko-12--7", None),
        ("ireko-a-345-7", None),
        ("ireko", None),
        ("docker", None),
    ] {
        assert_eq!(owner(name), expected, "{name}");
    }
}

#[test]
fn a_process_is_known_by_its_number_and_start() {
    let fields = "S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 20 18446744073709551615";
    assert_eq!(process(&format!("42 (sh) {fields}\n")), Some((42, 98765)));
    assert_eq!(process(&format!("42 (a) b) (c) {fields}\n")), Some((42, 98765)));
    assert_eq!(process("42 (sh) S 1 7"), None);
    assert_eq!(process(""), None);
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    assert_eq!(process(&own).map(|(number, _)| number), Some(std::process::id()));
}
