//! What is said to those who type a command or flag of `docker` that ireko does not have.

use clap::error::{ContextKind, ContextValue};

const NO_CONTAINERS: &str =
    "ireko keeps no containers: `ireko run` stays in front of its container and removes it at the end";
const CAPABILITIES: &str =
    "not supported yet: a container has Docker's default capabilities, profile and devices";

const COMMANDS: [(&str, &str); 18] = [
    ("attach", NO_CONTAINERS),
    ("compose", "compose files are not supported yet"),
    ("container", NO_CONTAINERS),
    ("create", NO_CONTAINERS),
    ("exec", NO_CONTAINERS),
    ("export", "`ireko build -o type=tar,dest=root.tar .` writes the file system of an image"),
    ("import", "`FROM scratch` and `ADD root.tar /` make an image of a tar"),
    ("info", "`ireko doctor` says what works on this machine"),
    ("kill", NO_CONTAINERS),
    ("logs", NO_CONTAINERS),
    ("ps", NO_CONTAINERS),
    ("restart", NO_CONTAINERS),
    ("rm", NO_CONTAINERS),
    ("start", NO_CONTAINERS),
    ("stop", NO_CONTAINERS),
    ("version", "`ireko --version`"),
    ("volume", "there are no named volumes: give `-v` a path of this machine"),
    ("wait", NO_CONTAINERS),
];

const FLAGS: [(&str, &str); 20] = [
    ("--add-host", "not supported yet by `run`; mount a file with `-v ./hosts:/etc/hosts`"),
    ("--cap-add", CAPABILITIES),
    ("--cap-drop", CAPABILITIES),
    ("--cgroupns", "not supported: a container always has a view of its own control group only"),
    ("--cidfile", NO_CONTAINERS),
    ("--device", CAPABILITIES),
    ("--dns", "not supported yet: a container asks this machine's name servers"),
    ("--gpus", CAPABILITIES),
    ("--group-add", "not supported yet: give the group with `--user user:group`"),
    ("--init", "not supported yet: the program is process 1"),
    ("--label", "a container of `ireko run` is not kept, so it has no labels"),
    ("--link", "not supported: publish a port with `-p`, or use `--network host`"),
    ("--mount", "use `-v PATH:PATH[:ro]` or `--tmpfs PATH`"),
    ("--privileged", CAPABILITIES),
    ("--publish-all", "name the ports: `-p 8000:8000`"),
    ("--pull", "`ireko pull` fetches an image"),
    ("--restart", "not supported: leave that to a unit of the service manager"),
    ("--security-opt", CAPABILITIES),
    ("--squash", "not supported: a last stage `FROM scratch` with `COPY --from=0 / /` has one layer"),
    (
        "--ulimit",
        "not supported by `run`: set it before, with `ulimit`; the container has the caller's limits",
    ),
];

/// The advice for a mistake in the command line, where there is some.
pub(crate) fn on(error: &clap::Error) -> Option<&'static str> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let among = |all: &[(&str, &'static str)], word: &str| {
        all.iter().find(|(known, _)| *known == word).map(|(_, advice)| *advice)
    };
    let flag = |text: &str| {
        let name = text.split(['=', ' ']).next().unwrap_or(text);
        let long = match name {
            "-P" => "--publish-all",
            "-l" => "--label",
            long => long,
        };
        among(&FLAGS, long)
    };
    let command = word(ContextKind::InvalidSubcommand).and_then(|word| among(&COMMANDS, word));
    command.or_else(|| word(ContextKind::InvalidArg).and_then(flag))
}
