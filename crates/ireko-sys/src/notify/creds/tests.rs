//! The rules held against the kernel: random calls, done by the rules and by a thread that really is root.

use proptest::prelude::*;

use super::*;
use crate::cap;

#[derive(Debug, Clone)]
enum Call {
    Set(Kind, u32),
    SetTwo(Kind, u32, u32),
    SetThree(Kind, [u32; 3]),
    SetFs(Kind, u32),
    SetGroups(Vec<u32>),
    KeepCaps(bool),
    SetCaps(CapSet, CapSet, CapSet),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::User), Just(Kind::Group)]
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0_u32), Just(1), Just(2), Just(33), Just(NONE)]
}

fn caps() -> impl Strategy<Value = CapSet> {
    let few = prop_oneof![Just(0), Just(1 << CAP_SETUID), Just(1 << CAP_SETGID), Just(1 | 1 << CAP_SETPCAP)];
    prop_oneof![few, Just(cap::docker_default()), Just(1 << CAP_SETUID | 1 << CAP_SETGID | 1)]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (kind(), id()).prop_map(|(kind, id)| Call::Set(kind, id)),
        4 => (kind(), id(), id()).prop_map(|(kind, real, effective)| Call::SetTwo(kind, real, effective)),
        6 => (kind(), [id(), id(), id()]).prop_map(|(kind, ids)| Call::SetThree(kind, ids)),
        3 => (kind(), id()).prop_map(|(kind, id)| Call::SetFs(kind, id)),
        2 => prop::collection::vec(id(), 0..4).prop_map(Call::SetGroups),
        2 => any::<bool>().prop_map(Call::KeepCaps),
        2 => (caps(), caps(), caps()).prop_map(|(one, two, three)| Call::SetCaps(one, two, three)),
    ]
}

fn by_rule(creds: &Creds, call: &Call) -> Result<Creds> {
    match call {
        Call::Set(kind, id) => creds.set(*kind, *id),
        Call::SetTwo(kind, real, effective) => creds.set_two(*kind, *real, *effective),
        Call::SetThree(kind, ids) => creds.set_three(*kind, *ids),
        Call::SetFs(kind, id) => Ok(creds.set_fs(*kind, *id)),
        Call::SetGroups(groups) => creds.set_groups(groups.clone()),
        Call::KeepCaps(keep) => Ok(Creds { keep_caps: *keep, ..creds.clone() }),
        Call::SetCaps(effective, permitted, inheritable) => {
            creds.set_caps(*effective, *permitted, *inheritable)
        }
    }
}

/// The same by the kernel, for this thread alone: libc's own functions would ask all threads.
fn by_kernel(call: &Call) -> Result<()> {
    let number = |kind: &Kind, user, group| if *kind == Kind::User { user } else { group };
    // SAFETY: each call takes integers, or a slice that is live for its time.
    let done = unsafe {
        match call {
            Call::Set(kind, id) => libc::syscall(number(kind, libc::SYS_setuid, libc::SYS_setgid), *id),
            Call::SetTwo(kind, real, effective) => {
                libc::syscall(number(kind, libc::SYS_setreuid, libc::SYS_setregid), *real, *effective)
            }
            Call::SetThree(kind, [real, effective, saved]) => libc::syscall(
                number(kind, libc::SYS_setresuid, libc::SYS_setresgid),
                *real,
                *effective,
                *saved,
            ),
            Call::SetFs(kind, id) => {
                libc::syscall(number(kind, libc::SYS_setfsuid, libc::SYS_setfsgid), *id);
                0
            }
            Call::SetGroups(groups) => libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            Call::KeepCaps(keep) => {
                libc::syscall(libc::SYS_prctl, libc::PR_SET_KEEPCAPS, i64::from(*keep), 0, 0, 0)
            }
            Call::SetCaps(effective, permitted, inheritable) => {
                return crate::raw::capset(*effective, *permitted, *inheritable);
            }
        }
    };
    if done == 0 {
        return Ok(());
    }
    Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)))
}

fn of_this_thread(bounding: CapSet) -> Creds {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let numbers =
        |name: &str| -> Vec<u32> { line(name).split_whitespace().map(|it| it.parse().unwrap()).collect() };
    let ids = |name: &str| match numbers(name)[..] {
        [real, effective, saved, fs] => Ids { real, effective, saved, fs },
        _ => panic!("four ids"),
    };
    let set = |name: &str| CapSet::from_str_radix(&line(name), 16).unwrap();
    let keep = crate::raw::prctl(libc::PR_GET_KEEPCAPS, 0, 0).unwrap();
    Creds {
        user: ids("Uid:"),
        group: ids("Gid:"),
        groups: numbers("Groups:"),
        keep_caps: keep == 1,
        permitted: set("CapPrm:"),
        effective: set("CapEff:"),
        inheritable: set("CapInh:"),
        bounding,
    }
}

/// Becomes what a step's command is at its start, in this thread.
fn start() -> CapSet {
    let bounding = cap::docker_default();
    for capability in (0..=cap::last()).filter(|capability| bounding & (1_u64 << capability) == 0) {
        crate::raw::prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).unwrap();
    }
    crate::raw::setgroups(&[]).unwrap();
    crate::raw::setresgid(0).unwrap();
    crate::raw::capset(bounding, bounding, 0).unwrap();
    bounding
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_rules_are_the_kernels(calls in prop::collection::vec(call(), 1..12)) {
        let root = rustix::process::geteuid().is_root()
            && crate::userns::IdMap::current().is_ok_and(|map| map.is_identity());
        if root {
            let calls = calls.clone();
            let compared = std::thread::spawn(move || {
                let bounding = start();
                let mut creds = Creds::of(0, 0, Vec::new(), bounding);
                for (at, call) in calls.iter().enumerate() {
                    let ruled = by_rule(&creds, call);
                    let done = by_kernel(call);
                    if let Ok(new) = &ruled {
                        creds = new.clone();
                    }
                    let real = of_this_thread(bounding);
                    if ruled.map(drop) != done || creds != real {
                        return Err(format!("after call {at} of {calls:?}:\n{creds:?}\n{real:?} {done:?}"));
                    }
                }
                Ok(())
            });
            let compared = compared.join().map_err(|_| TestCaseError::fail("the thread panicked"))?;
            prop_assert_eq!(compared, Ok(()));
        }
    }
}

#[test]
fn programs_change_who_runs_them() {
    let all = cap::docker_default();
    let (root, user) = (Creds::of(0, 0, Vec::new(), all), Creds::of(33, 34, vec![34], all));
    let sudo = user.after_exec(&Program { user: Some(0), ..Program::default() });
    assert_eq!((sudo.user, sudo.permitted), (Ids { real: 33, effective: 0, saved: 0, fs: 0 }, all));
    let mail = user.after_exec(&Program { group: Some(8), ..Program::default() });
    assert_eq!(mail.group, Ids { real: 34, effective: 8, saved: 8, fs: 8 });
    assert_eq!(mail.permitted, 0);
    let lent = root.set_two(Kind::User, NONE, 33).unwrap();
    assert_eq!((lent.effective, lent.permitted), (0, all), "to be taken up again");
    let plain = lent.after_exec(&Program::default());
    assert_eq!((plain.user.saved, plain.permitted, plain.effective), (33, all, 0));
    let caps = Some((1 << CAP_SETUID | 1 << 40, 0, true));
    let mapper = user.after_exec(&Program { caps, ..Program::default() });
    assert_eq!((mapper.permitted, mapper.effective), (1 << CAP_SETUID, 1 << CAP_SETUID));
}

#[test]
fn files_are_given_away_by_whom_the_kernel_lets() {
    let all = cap::docker_default();
    let (root, user) = (Creds::of(0, 0, Vec::new(), all), Creds::of(33, 34, vec![50], all));
    let file = Owner::new(33, 34);
    assert_eq!(root.chown(file, 1, NONE), Ok(Owner::new(1, 34)));
    assert_eq!(user.chown(file, NONE, 50), Ok(Owner::new(33, 50)));
    assert_eq!(user.chown(file, 33, 34), Ok(file));
    assert_eq!(user.chown(file, NONE, 51), Err(EPERM));
    assert_eq!(user.chown(file, 0, NONE), Err(EPERM));
    assert_eq!(user.chown(Owner::ROOT, NONE, 50), Err(EPERM));
    assert_eq!(user.chown(Owner::ROOT, NONE, NONE), Ok(Owner::ROOT));
    assert_eq!(user.makes(None), Owner::new(33, 34));
    assert_eq!(user.makes(Some(8)), Owner::new(33, 8));
}
