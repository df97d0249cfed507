//! Runs the compiled program in a small interpreter and compares it with the profile it was made from.

use libc::sock_filter;

use super::bpf::compile;
use super::profile::{Machine, Rule, Verdict, X32_BIT, machine};

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

/// What the kernel would do: the verdict, and how many instructions it took.
fn run(program: &[sock_filter], audit: u32, number: u32, argument: u64) -> (u32, usize) {
    let (mut at, mut value, mut count) = (0_usize, 0_u32, 0_usize);
    loop {
        let instruction = program[at];
        count += 1;
        at += 1;
        let jump = |yes: bool| usize::from(if yes { instruction.jt } else { instruction.jf });
        match instruction.code {
            0x20 => {
                value = match instruction.k {
                    0 => number,
                    4 => audit,
                    16 => argument as u32,
                    20 => (argument >> 32) as u32,
                    other => panic!("loads from {other}"),
                };
            }
            0x06 => return (instruction.k, count),
            0x05 => at += instruction.k as usize,
            0x15 => at += jump(value == instruction.k),
            0x35 => at += jump(value >= instruction.k),
            0x45 => at += jump(value & instruction.k != 0),
            0x54 => value &= instruction.k,
            other => panic!("operation {other:#x}"),
        }
    }
}

fn expected(verdict: Verdict, argument: u64) -> u32 {
    match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Verdict::Report(_) => panic!("the profile asks nobody"),
        Verdict::Argument(Rule::NoneOf(bits)) => {
            if argument as u32 & bits == 0 {
                ALLOW
            } else {
                EPERM
            }
        }
        Verdict::Argument(Rule::OneOf(values)) => {
            if values.iter().any(|value| u64::from(*value) == argument) { ALLOW } else { EPERM }
        }
    }
}

fn check_all(machine: &Machine) {
    let program = compile(machine);
    let arguments = [0, 1, 8, 11, 12, 17, 38, 40, 45, 46, 0x2_0008, 0x1000_0000, 0xffff_ffff, 1 << 32];
    let mut longest = 0;
    let mut conventions = vec![(machine.native.0, 0, &machine.native.1)];
    conventions.extend(machine.compat.as_ref().map(|(audit, convention)| (*audit, 0, convention)));
    conventions.extend(machine.x32.as_ref().map(|convention| (machine.native.0, X32_BIT, convention)));
    for (audit, mark, convention) in conventions {
        for number in (0..700).chain([0x3fff_ffff]) {
            for argument in arguments {
                let (verdict, length) = run(&program, audit, number | mark, argument);
                longest = longest.max(length);
                assert_eq!(
                    verdict,
                    expected(convention.verdict(number), argument),
                    "call {number}({argument:#x})"
                );
            }
        }
    }
    assert!(program.len() < 1200, "{} instructions", program.len());
    assert!(longest < 70, "{longest} instructions for one call");
    assert_eq!(run(&program, 0x1234, 0, 0).0, KILL);
}

#[test]
fn the_program_says_what_the_profile_says() {
    check_all(&machine("x86_64"));
    check_all(&machine("aarch64"));
}

#[test]
fn what_is_reported_is_what_the_tests_say() {
    const TESTS: super::Tests = &[super::Test::Bits(0, 0x40), super::Test::Between(0, 0x41, 0x50)];
    let own = super::Report::from([(5, TESTS), (6, &[][..]), (0, &[][..]), (400, TESTS)]);
    let old = super::Report::from([(7, &[][..])]);
    let program = super::reporting("x86_64", &own, &old);
    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;
    const ASK: u32 = 0x7fc0_0000;
    let verdict = |audit, number, argument| run(&program, audit, number, argument).0;
    for (number, argument, expected) in [
        (0, 0, ASK),
        (1, 0, ALLOW),
        (5, 0x40, ALLOW),
        (5, 0x41, ASK),
        (5, 0x50, ASK),
        (5, 0x51, ALLOW),
        (5, 0x31, ALLOW),
        (6, 0, ASK),
        (7, 0, ALLOW),
        (400, 0x42, ASK),
        (401, 0x42, ALLOW),
        (425, 0, ENOSYS),
        (X32_BIT | 5, 0x41, ENOSYS),
    ] {
        assert_eq!(verdict(X86_64, number, argument), expected, "call {number}({argument:#x})");
    }
    assert_eq!(verdict(I386, 7, 0), ASK);
    assert_eq!(verdict(I386, 6, 0), ALLOW);
    assert_eq!(verdict(0x1234, 6, 0), ALLOW, "another convention is another filter's business");
}

#[test]
fn known_calls_get_their_verdict() {
    let program = compile(&machine("x86_64"));
    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;
    let verdict = |audit, number, argument| run(&program, audit, number, argument).0;
    // read, chroot, ptrace, unshare, mount, add_key, io_uring_setup
    for (number, expected) in
        [(0, ALLOW), (161, ALLOW), (101, ALLOW), (272, EPERM), (165, EPERM), (248, EPERM), (425, EPERM)]
    {
        assert_eq!(verdict(X86_64, number, 0), expected, "call {number}");
    }
    assert_eq!(verdict(X86_64, 435, 0), ENOSYS, "clone3");
    assert_eq!(verdict(X86_64, 467, 0), ENOSYS, "open_tree_attr, newer than the profile");
    assert_eq!(verdict(X86_64, 56, 0x0001_0011), ALLOW, "clone as fork does");
    assert_eq!(verdict(X86_64, 56, 0x1000_0000), EPERM, "clone with CLONE_NEWUSER");
    assert_eq!(verdict(X86_64, 41, 2), ALLOW, "socket of AF_INET");
    assert_eq!(verdict(X86_64, 41, 38), EPERM, "socket of AF_ALG");
    assert_eq!(verdict(X86_64, 41, 40), EPERM, "socket of AF_VSOCK");
    assert_eq!(verdict(X86_64, 135, 0x2_0000), ALLOW, "personality(UNAME26)");
    assert_eq!(verdict(X86_64, 135, 0x4_0000), EPERM, "personality(ADDR_NO_RANDOMIZE)");
    assert_eq!(verdict(I386, 102, 0), ALLOW, "socketcall");
    assert_eq!(verdict(I386, 21, 0), EPERM, "mount on i386");
    assert_eq!(verdict(X86_64, X32_BIT, 0), ALLOW, "read by x32");
    assert_eq!(verdict(X86_64, X32_BIT | 512, 0), ALLOW, "rt_sigaction by x32");
    assert_eq!(verdict(X86_64, X32_BIT | 13, 0), EPERM, "rt_sigaction of x86_64, which x32 does not have");
    assert_eq!(verdict(X86_64, X32_BIT | 41, 38), EPERM, "socket of AF_ALG by x32");
    assert_eq!(verdict(I386, 384, 0), ALLOW, "arch_prctl on i386");
    assert_eq!(verdict(X86_64, X32_BIT | 528, 0), EPERM, "kexec_load by x32");
    assert_eq!(verdict(X86_64, X32_BIT | 165, 0), EPERM, "mount by x32");
}

#[test]
fn every_allowed_call_of_the_profile_is_known_somewhere() {
    let tables = ["x86_64", "i386", "aarch64"].map(|name| match name {
        "x86_64" => include_str!("../../data/syscalls-x86_64.txt"),
        "i386" => include_str!("../../data/syscalls-i386.txt"),
        _ => include_str!("../../data/syscalls-aarch64.txt"),
    });
    let known = |name: &str| {
        tables.iter().any(|table| table.lines().any(|line| line.split(' ').next() == Some(name)))
    };
    let unknown: Vec<&str> =
        include_str!("../../data/docker-allowed.txt").lines().filter(|name| !known(name)).collect();
    // Calls of other machines, or names that only libraries have.
    let elsewhere = [
        "clock_adjtime64",
        "clock_getres_time64",
        "clock_gettime64",
        "clock_nanosleep_time64",
        "futex_time64",
    ];
    let odd: Vec<&&str> = unknown.iter().filter(|name| !elsewhere.contains(name)).collect();
    expect_test::expect![[r#"["recv", "riscv_hwprobe", "send"]"#]].assert_eq(&format!("{odd:?}"));
}
