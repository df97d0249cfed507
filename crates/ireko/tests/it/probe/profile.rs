//! Docker's published profile, judged rule by rule and by the numbers of the kernel's own headers.

use super::{CAPABILITIES, word};
use std::collections::BTreeMap;
use std::process::Command;

const PROFILE: &str = include_str!("../../probe/docker-profile.txt");

/// Calls newer than the installed kernel headers, of all conventions but where they are listed below.
const NEWER: [(&str, u32); 17] = [
    ("uretprobe", 335),
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
];

/// Those of [`NEWER`] that a convention lacks.
const LACKS: [(&str, &str); 4] =
    [("i386", "uretprobe"), ("aarch64", "uretprobe"), ("x32", "uretprobe"), ("x32", "map_shadow_stack")];

/// The published profile for a container's capabilities, by the numbers of one convention.
pub(super) struct Profile {
    numbers: BTreeMap<String, u32>,
    rules: Vec<Rule>,
}

struct Rule {
    verdict: String,
    /// The operator and value that the first argument is tested by.
    test: Option<(&'static str, u64)>,
    calls: Vec<&'static str>,
}

impl Profile {
    pub(super) fn of(convention: &str) -> Self {
        Self { numbers: numbers(convention), rules: PROFILE.lines().filter_map(Rule::of).collect() }
    }

    /// What happens to a call by number, with its first argument in brackets if it is not zero.
    pub(super) fn verdict(&self, call: &str) -> String {
        let (number, argument) = parts(call);
        let named: Vec<&Rule> = self.rules.iter().filter(|rule| rule.names(&self.numbers, number)).collect();
        if let Some(rule) =
            named.iter().filter(|rule| rule.verdict == "allow").find(|rule| rule.passes(argument))
        {
            return rule.verdict.clone();
        }
        if let Some(rule) =
            named.iter().filter(|rule| rule.verdict != "allow").find(|rule| rule.passes(argument))
        {
            return rule.verdict.replace("errno=", "errno ");
        }
        let newest =
            self.rules.iter().flat_map(|rule| &rule.calls).filter_map(|name| self.numbers.get(*name)).max();
        // As runc has it: programs are to take newer calls for missing ones.
        if newest.is_none_or(|newest| number > *newest) { "errno 38" } else { "errno 1" }.to_owned()
    }

    /// The name of a call by number, for people.
    pub(super) fn name(&self, call: &str) -> String {
        let (number, argument) = parts(call);
        let name = self.numbers.iter().find(|(_, other)| **other == number).map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| number.to_string());
        if call.contains('(') { format!("{name}({argument})") } else { name }
    }
}

impl Rule {
    /// A rule, if it applies to a container with Docker's capabilities on this machine.
    fn of(line: &'static str) -> Option<Self> {
        let (conditions, calls) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
        let machine = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let held = |name: &str| CAPABILITIES.iter().any(|(other, _)| *other == name);
        let mut test = None;
        for condition in conditions.split(' ').skip(1) {
            let applies = match condition.split_once('=') {
                Some(("arch", list)) => list.split(',').any(|other| other == machine),
                Some(("cap", name)) => held(name),
                Some(("nocap", name)) => !held(name),
                _ => {
                    test = Some(Self::test(condition));
                    true
                }
            };
            if !applies {
                return None;
            }
        }
        Some(Self {
            verdict: word(conditions, 0).to_owned(),
            test,
            calls: calls.split_whitespace().collect(),
        })
    }

    fn test(condition: &'static str) -> (&'static str, u64) {
        let test = condition.strip_prefix("arg0").expect("only first arguments are tested");
        let (operator, value) =
            test.split_at(test.find(|letter: char| letter.is_ascii_digit()).expect("a value"));
        (operator, value.trim_end_matches("==0").parse().expect("a number"))
    }

    fn names(&self, numbers: &BTreeMap<String, u32>, number: u32) -> bool {
        self.calls.iter().any(|name| numbers.get(*name) == Some(&number))
    }

    fn passes(&self, argument: u64) -> bool {
        match self.test {
            None => true,
            Some(("<", value)) => argument < value,
            Some(("==", value)) => argument == value,
            Some(("&", mask)) => argument & mask == 0,
            Some((other, _)) => panic!("no test is called `{other}`"),
        }
    }
}

/// The number of a call and its first argument, of `41` or `41(0x2)`.
fn parts(call: &str) -> (u32, u64) {
    let (number, argument) = call.split_once("(0x").unwrap_or((call, "0)"));
    let argument = u64::from_str_radix(argument.trim_end_matches(')'), 16).expect("a number");
    (number.parse().expect("a number"), argument)
}

/// The calls of a convention by the kernel's own headers, and those that are newer.
fn numbers(convention: &str) -> BTreeMap<String, u32> {
    let header = match convention {
        "x86_64" => "asm/unistd_64.h",
        "i386" => "asm/unistd_32.h",
        "x32" => "asm/unistd_x32.h",
        _ => "asm/unistd.h",
    };
    let text = Command::new("gcc").args(["-E", "-dM", "-include", header, "-x", "c", "/dev/null"]).output();
    let text = String::from_utf8(text.expect("the headers").stdout).expect("text");
    let defined: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define __NR")?.split_once(' '))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let number = |value: &str| {
        // One name may stand for another, and x32 adds its mark.
        let value = value.strip_prefix("__NR").and_then(|name| defined.get(name).copied()).unwrap_or(value);
        value.trim_start_matches("(__X32_SYSCALL_BIT + ").trim_end_matches(')').parse().ok()
    };
    let known =
        defined.iter().filter_map(|(name, value)| Some((name.strip_prefix('_')?.to_owned(), number(value)?)));
    let lacks = |name: &str| LACKS.contains(&(convention, name));
    let newer =
        NEWER.iter().filter(|(name, _)| !lacks(name)).map(|(name, number)| ((*name).to_owned(), *number));
    let all: BTreeMap<String, u32> = newer.chain(known).collect();
    assert!(all.len() > 250, "the headers name {} calls of {convention}", all.len());
    all
}
