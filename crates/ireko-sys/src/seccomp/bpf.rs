//! Compiles a profile to a BPF program: a binary search over runs of call numbers.

use std::collections::BTreeMap;

use libc::sock_filter;

use super::profile::{
    AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, Machine, Report, Rule, Test, Tests, Verdict,
    X32_BIT,
};

/// Places in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_LOW: u32 = 16;
const ARGUMENT_HIGH: u32 = 20;

// Operation codes, from <linux/bpf_common.h>.
const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_BITS: u16 = 0x45;
const AND: u16 = 0x54;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const ASK: u32 = 0x7fc0_0000;
/// The same in every convention.
const IO_URING_SETUP: u32 = 425;

fn op(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump_if(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The program for all conventions of a machine; a call by another convention kills the process.
pub(super) fn compile(machine: &Machine) -> Vec<sock_filter> {
    let (audit, native) = &machine.native;
    let mut native_part = vec![op(LOAD, NUMBER)];
    if let Some(x32) = &machine.x32 {
        let mut marked = vec![op(AND, !X32_BIT)];
        marked.extend(tree(&x32.runs()));
        native_part.extend(unless(IF_BITS, X32_BIT, &marked));
    }
    native_part.extend(tree(&native.runs()));

    let mut program = vec![op(LOAD, ARCHITECTURE)];
    program.extend(unless(IF_EQUAL, *audit, &native_part));
    if let Some((audit, compat)) = &machine.compat {
        let mut part = vec![op(LOAD, NUMBER)];
        part.extend(tree(&compat.runs()));
        program.extend(unless(IF_EQUAL, *audit, &part));
    }
    program.push(op(RETURN, KILL_PROCESS));
    program
}

/// `block`, skipped unless the accumulator passes the test.
fn unless(test: u16, k: u32, block: &[sock_filter]) -> Vec<sock_filter> {
    let length = u32::try_from(block.len()).expect("a filter has less than 4096 instructions");
    let mut code = vec![jump_if(test, k, 1, 0), op(JUMP, length)];
    code.extend_from_slice(block);
    code
}

/// Code that judges the number in the accumulator, by halving the runs.
fn tree(runs: &[(u32, Verdict)]) -> Vec<sock_filter> {
    match runs {
        [] => vec![op(RETURN, ERRNO | EPERM)],
        [(_, verdict)] => leaf(*verdict),
        _ => {
            let (left, right) = runs.split_at(runs.len() / 2);
            let pivot = right.first().map_or(0, |(first, _)| *first);
            let (left, right) = (tree(left), tree(right));
            let mut code = match u8::try_from(left.len()) {
                Ok(length) => vec![jump_if(IF_AT_LEAST, pivot, length, 0)],
                // Too far for a conditional jump's eight bits.
                Err(_) => {
                    let length = u32::try_from(left.len()).expect("a filter has less than 4096 instructions");
                    vec![jump_if(IF_AT_LEAST, pivot, 0, 1), op(JUMP, length)]
                }
            };
            code.extend(left);
            code.extend(right);
            code
        }
    }
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    match verdict {
        Verdict::Allow => vec![op(RETURN, ALLOW)],
        Verdict::Errno(errno) => vec![op(RETURN, ERRNO | u32::from(errno))],
        Verdict::Argument(Rule::NoneOf(bits)) => vec![
            op(LOAD, ARGUMENT_LOW),
            jump_if(IF_BITS, bits, 0, 1),
            op(RETURN, ERRNO | EPERM),
            op(RETURN, ALLOW),
        ],
        Verdict::Argument(Rule::OneOf(values)) => one_of(values),
        Verdict::Report(tests) => ask_if(tests),
    }
}

/// The program that reports these calls to a listener and allows all others: `own` by the convention of `arch`, `old` by
/// that of i386. What the other filter of a step forbids, it forbids before anybody is asked.
pub(crate) fn reporting(arch: &str, own: &Report, old: &Report) -> Vec<sock_filter> {
    let all = |report: &Report| -> BTreeMap<u32, Verdict> {
        let reported = report.iter().map(|(number, tests)| (*number, Verdict::Report(tests)));
        // Its calls would pass unseen. A kernel may well lack it.
        reported.chain([(IO_URING_SETUP, Verdict::Errno(ENOSYS as u16))]).collect()
    };
    // A convention that nobody would report: programs fall back to the usual one.
    exceptions(arch, op(RETURN, ERRNO | ENOSYS), (&all(own), &all(old)))
}

/// The program in which these calls succeed and do nothing, by the convention of `arch` and by that of i386; all others are
/// allowed.
pub(super) fn done_already(arch: &str, own: &[u32], old: &[u32]) -> Vec<sock_filter> {
    let all = |numbers: &[u32]| numbers.iter().map(|number| (*number, Verdict::Errno(0))).collect();
    exceptions(arch, op(RETURN, ALLOW), (&all(own), &all(old)))
}

/// The program that allows all but these calls, by the convention of `arch` and by that of i386; x32 is answered alike.
fn exceptions(
    arch: &str,
    x32: sock_filter,
    (own, old): (&BTreeMap<u32, Verdict>, &BTreeMap<u32, Verdict>),
) -> Vec<sock_filter> {
    let mut program = vec![op(LOAD, ARCHITECTURE)];
    let mut part = vec![op(LOAD, NUMBER)];
    let audit = match arch {
        "x86_64" => {
            part.extend(unless(IF_BITS, X32_BIT, &[x32]));
            AUDIT_ARCH_X86_64
        }
        _ => AUDIT_ARCH_AARCH64,
    };
    part.extend(tree(&runs(own)));
    program.extend(unless(IF_EQUAL, audit, &part));
    if arch == "x86_64" {
        let mut part = vec![op(LOAD, NUMBER)];
        part.extend(tree(&runs(old)));
        program.extend(unless(IF_EQUAL, AUDIT_ARCH_I386, &part));
    }
    program.push(op(RETURN, ALLOW));
    program
}

/// Runs of numbers with one verdict, from 0 up.
fn runs(all: &BTreeMap<u32, Verdict>) -> Vec<(u32, Verdict)> {
    let mut runs = vec![(0, Verdict::Allow)];
    for (number, verdict) in all {
        if runs.last().is_some_and(|(first, _)| first == number) {
            runs.pop();
        }
        runs.push((*number, *verdict));
        runs.push((number + 1, Verdict::Allow));
    }
    runs
}

/// Each argument is 64 bits wide, the lower half first.
fn ask_if(tests: Tests) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for test in tests {
        match *test {
            Test::Bits(argument, bits) => {
                code.push(op(LOAD, ARGUMENT_LOW + 8 * u32::from(argument)));
                code.extend([jump_if(IF_BITS, bits, 1, 0), op(RETURN, ALLOW)]);
            }
            Test::Between(argument, first, last) => {
                code.push(op(LOAD, ARGUMENT_LOW + 8 * u32::from(argument)));
                code.extend([jump_if(IF_AT_LEAST, first, 1, 0), op(RETURN, ALLOW)]);
                code.extend([jump_if(IF_AT_LEAST, last + 1, 0, 1), op(RETURN, ALLOW)]);
            }
        }
    }
    code.push(op(RETURN, ASK));
    code
}

fn one_of(values: &[u32]) -> Vec<sock_filter> {
    let count = u8::try_from(values.len()).expect("a rule has less than 250 values");
    let mut code = vec![op(LOAD, ARGUMENT_HIGH), jump_if(IF_EQUAL, 0, 0, count + 1), op(LOAD, ARGUMENT_LOW)];
    for (value, left) in values.iter().zip((1..=count).rev()) {
        // Past the other comparisons and the refusal.
        code.push(jump_if(IF_EQUAL, *value, left, 0));
    }
    code.extend([op(RETURN, ERRNO | EPERM), op(RETURN, ALLOW)]);
    code
}
