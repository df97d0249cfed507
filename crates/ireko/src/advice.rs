//! What is said to those who type a command or flag of `docker` that ireko does not have.

use crate::cli::Cli;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use ireko_report::nearest_names;
use std::ffi::OsString;

const NO_CONTAINERS: &str =
    "ireko keeps no containers: `ireko run` stays in front of its container and removes it at the end";
const CAPABILITIES: &str =
    "not supported yet: a container has Docker's default capabilities, profile and devices";

const NO_NETWORKS: &str =
    "there are no networks to make: a container has the host's, none, or one of its own that `-p` leads into";
const NO_SWARM: &str = "ireko builds images and runs single containers: it has no swarm";

const COMMANDS: &[(&str, &str)] = &[
    ("attach", NO_CONTAINERS),
    ("buildx", "`ireko build` has the flags of `docker buildx build`"),
    ("commit", "an image is made by `ireko build` alone: write what was done as RUN"),
    ("compose", "compose files are not supported yet"),
    ("container", NO_CONTAINERS),
    (
        "cp",
        "files of an image: `ireko build -o type=local,dest=DIR`, of a Dockerfile that copies them to `FROM scratch`",
    ),
    ("create", NO_CONTAINERS),
    ("diff", NO_CONTAINERS),
    ("events", "`ireko build --progress=json` tells what a build does, `ireko history` what builds did"),
    ("exec", NO_CONTAINERS),
    ("export", "`ireko build -o type=tar,dest=root.tar .` writes the file system of an image"),
    ("import", "`FROM scratch` and `ADD root.tar /` make an image of a tar"),
    ("kill", NO_CONTAINERS),
    ("network", NO_NETWORKS),
    ("node", NO_SWARM),
    ("pause", NO_CONTAINERS),
    ("port", NO_CONTAINERS),
    ("rename", NO_CONTAINERS),
    ("restart", NO_CONTAINERS),
    ("rm", NO_CONTAINERS),
    ("scan", "`ireko save --type oci -o app.tar` writes what scanners read"),
    ("search", "look at the registry's own page"),
    ("secret", NO_SWARM),
    ("service", NO_SWARM),
    ("stack", NO_SWARM),
    ("start", NO_CONTAINERS),
    ("stats", NO_CONTAINERS),
    ("stop", NO_CONTAINERS),
    ("swarm", NO_SWARM),
    ("top", NO_CONTAINERS),
    ("trust", "sign with cosign or notation, once it is pushed"),
    ("unpause", NO_CONTAINERS),
    ("update", NO_CONTAINERS),
    ("volume", "there are no named volumes: give `-v` a path of this machine"),
    ("wait", NO_CONTAINERS),
];

const OWN_NETWORK: &str =
    "not supported: a container has the host's network, none, or one of its own that `-p` leads into";
const NOT_KEPT: &str = "leave it out: a container of `ireko run` is not kept, so nobody could ask for it";
const OWN_SPACES: &str = "not supported: a container has namespaces of its own";
const NO_SUCH_LIMIT: &str = "not supported yet: `--memory`, `--memory-swap`, `--cpus`, `--cpu-shares`, `--cpuset-cpus` and `--pids-limit` are";

/// Flags of `docker pull`.
const PULL: &[(&str, &str)] =
    &[("--all-tags", "name the tags: `ireko pull NAME:ONE NAME:OTHER`; `ireko manifest NAME:TAG` shows one")];

/// Flags of `docker run`.
const RUN: &[(&str, &str)] = &[
    ("--attach", "leave it out: a container writes to this terminal, and `-i` passes standard input"),
    ("--blkio-weight", NO_SUCH_LIMIT),
    ("--blkio-weight-device", NO_SUCH_LIMIT),
    ("--cap-add", CAPABILITIES),
    ("--cap-drop", CAPABILITIES),
    ("--cgroupns", "not supported: a container always has a view of its own control group only"),
    ("--cidfile", NO_CONTAINERS),
    ("--cpu-rt-period", NO_SUCH_LIMIT),
    ("--cpu-rt-runtime", NO_SUCH_LIMIT),
    ("--device-cgroup-rule", "not supported: name the devices with `--device`"),
    ("--device-read-bps", NO_SUCH_LIMIT),
    ("--device-read-iops", NO_SUCH_LIMIT),
    ("--device-write-bps", NO_SUCH_LIMIT),
    ("--device-write-iops", NO_SUCH_LIMIT),
    ("--dns", "not supported yet: a container asks this machine's name servers"),
    ("--dns-option", "not supported yet: a container asks this machine's name servers"),
    ("--dns-search", "not supported yet: a container asks this machine's name servers"),
    ("--domainname", "give the whole name with `--hostname`"),
    ("--gpus", "name the devices: `--device nvidia.com/gpu=all`, as `nvidia-ctk cdi list` has them"),
    ("--group-add", "not supported yet: give the group with `--user user:group`"),
    ("--init", "not supported yet: the program is process 1"),
    ("--ip", OWN_NETWORK),
    ("--ip6", OWN_NETWORK),
    ("--ipc", OWN_SPACES),
    ("--kernel-memory", NO_SUCH_LIMIT),
    ("--link", "not supported: publish a port with `-p`, or use `--network host`"),
    ("--link-local-ip", OWN_NETWORK),
    ("--mac-address", OWN_NETWORK),
    ("--memory-reservation", NO_SUCH_LIMIT),
    ("--memory-swappiness", NO_SUCH_LIMIT),
    ("--mount", "use `-v PATH:PATH[:ro]` or `--tmpfs PATH`"),
    ("--network-alias", OWN_NETWORK),
    ("--oom-kill-disable", NO_SUCH_LIMIT),
    ("--oom-score-adj", NO_SUCH_LIMIT),
    ("--pid", OWN_SPACES),
    ("--pod", "not supported: there are no pods"),
    ("--privileged", CAPABILITIES),
    ("--publish-all", "name the ports: `-p 8000:8000`"),
    ("--replace", NOT_KEPT),
    ("--runtime", "leave it out: `ireko run` starts the container itself"),
    ("--security-opt", CAPABILITIES),
    ("--storage-opt", "not supported: there is no limit for what a container writes"),
    ("--sysctl", "not supported yet"),
    (
        "--ulimit",
        "not supported by `run`: set it before, with `ulimit`; the container has the caller's limits",
    ),
    ("--userns", OWN_SPACES),
    ("--uts", OWN_SPACES),
    ("--volume-driver", "there are no named volumes: give `-v` a path of this machine"),
    ("--volumes-from", "name the paths: `-v PATH:PATH`"),
];

const IN_THE_DOCKERFILE: &str = "write it in the Dockerfile, or in one that begins `FROM` the image of this";
const STEP_NAMES: &str = "leave it out: a step asks this machine's name servers";
const ENTER: &str = "`--on-failure=shell` opens a shell in a RUN step that fails; `ireko build --target STAGE` and \
    `ireko run -it` look at what is made so far";
const STEP_STARTER: &str = "leave it out: ireko starts steps itself";

/// Flags of `docker build`, `podman build` and `buildah bud`.
const BUILD: &[(&str, &str)] = &[
    ("--all-platforms", "name them: `--platform linux/amd64,linux/arm64`"),
    (
        "--cap-add",
        "a step has Docker's default capabilities; all are `RUN --security=insecure`, with `--allow security.insecure`",
    ),
    ("--cap-drop", "a step has Docker's default capabilities"),
    ("--cpp-flag", "run `cpp` before, and pass what it writes: `cpp -E … | ireko build -f - .`"),
    (
        "--decryption-key",
        "decrypt the base image first, with `skopeo copy --decryption-key`, and `ireko load` it",
    ),
    ("--dns", STEP_NAMES),
    ("--dns-option", STEP_NAMES),
    ("--dns-search", STEP_NAMES),
    ("--env", IN_THE_DOCKERFILE),
    ("--from", "`--build-context NAME=docker-image://IMAGE` puts another image in the place of `FROM NAME`"),
    ("--hooks-dir", STEP_STARTER),
    ("--invoke", ENTER),
    ("--logfile", "send it there: `2> FILE`, with `--progress plain`"),
    ("--logsplit", "send it there: `2> FILE`, with `--progress plain`"),
    ("--manifest", "`-t NAME` with several platforms is one image with an index"),
    ("--no-hosts", "a step has an /etc/hosts of its own, and the image keeps the one it has"),
    ("--omit-history", "an image always has its history"),
    ("--on", ENTER),
    ("--os-feature", "`os.version` and features are those of the base image"),
    ("--os-version", "`os.version` and features are those of the base image"),
    ("--policy", "no policies are asked"),
    ("--print", "`--call=outline`, `--call=targets`"),
    (
        "--rewrite-timestamp",
        "the image has the date of SOURCE_DATE_EPOCH, files keep the times that steps gave them",
    ),
    ("--runtime", STEP_STARTER),
    ("--runtime-flag", STEP_STARTER),
    ("--save-stages", "`-t STAGE=NAME` with `--target STAGE,LAST` keeps a stage"),
    ("--sign-by", "sign with cosign or skopeo, once it is pushed"),
    ("--stdin", "a step has no standard input: give it a file with `RUN --mount=type=bind`"),
    ("--unsetannotation", "annotations of base images are not taken over"),
    ("--unsetenv", IN_THE_DOCKERFILE),
    ("--unsetlabel", IN_THE_DOCKERFILE),
    ("--userns-gid-map", "a step has the ids of /etc/subgid"),
    ("--userns-gid-map-group", "a step has the ids of /etc/subgid"),
    ("--userns-uid-map", "a step has the ids of /etc/subuid"),
    ("--userns-uid-map-user", "a step has the ids of /etc/subuid"),
    (
        "--volume",
        "`--build-context NAME=DIR`, and `RUN --mount=type=bind,from=NAME,target=PATH` in the Dockerfile",
    ),
];

/// What is said to a mistake.
pub(crate) enum Advice {
    /// A flag of theirs.
    Flag { name: String, hint: &'static str },
    /// A command of theirs.
    Command { name: String, hint: String },
}

/// The advice for a mistake in the command line, where there is some.
pub(crate) fn on(error: &clap::Error, command: &str, words: &[OsString]) -> Option<Advice> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let among = |all: &[(&str, &'static str)], word: &str| {
        all.iter().find(|(known, _)| *known == word).map(|(_, advice)| *advice)
    };
    if let Some(word) = word(ContextKind::InvalidSubcommand) {
        return command_advice(word, command == word, words);
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let text = word(ContextKind::InvalidArg)?;
    let typed = text.split(['=', ' ']).next().unwrap_or(text);
    // Podman's `-v` mounts something; here it is a switch, and what follows it is taken for the context.
    let mounts = |pair: &[OsString]| {
        pair[0] == "-v"
            && pair[1].to_str().is_some_and(|text| text.starts_with(['/', '.']) && text.contains(':'))
    };
    let typed = match command == "build" && !typed.starts_with('-') && words.windows(2).any(mounts) {
        true => "--volume",
        false => typed,
    };
    let (name, all) = match (command, typed) {
        ("build", name) => (name, BUILD),
        ("pull", "-a") => ("--all-tags", PULL),
        ("pull", name) => (name, PULL),
        ("run", "-P") => ("--publish-all", RUN),
        ("run", "-a") => ("--attach", RUN),
        ("run", name) => (name, RUN),
        _ => return None,
    };
    among(all, name).map(|hint| Advice::Flag { name: typed.to_owned(), hint })
}

/// The advice for a word that is no command: of Docker's there is some, and a slip has one that was meant.
fn command_advice(word: &str, is_first: bool, words: &[OsString]) -> Option<Advice> {
    if let Some((_, hint)) = COMMANDS.iter().find(|(known, _)| *known == word) {
        // `container run` is taken, so it is not the first word alone that is unknown.
        let after = words.iter().skip_while(|it| *it != word).nth(1).and_then(|it| it.to_str());
        let after = after.filter(|it| {
            is_first && matches!(word, "container" | "network" | "volume") && !it.starts_with('-')
        });
        let name = after.map_or(word.to_owned(), |after| format!("{word} {after}"));
        return Some(Advice::Command { name, hint: (*hint).to_owned() });
    }
    let command = Cli::command();
    let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let near = nearest_names(word, known.into_iter().filter(|_| is_first));
    let hint = format!("did you mean `ireko {}`?", near.first()?);
    Some(Advice::Command { name: word.to_owned(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(typed: &str, command: &str) -> Option<Advice> {
        let words: Vec<OsString> = typed.split(' ').map(OsString::from).collect();
        on(&Cli::read(&words).expect_err("ireko does not have it"), command, &words)
    }

    #[test]
    fn what_is_refused_is_unknown_to_the_command() {
        for (flags, command) in [(BUILD, "build"), (RUN, "run"), (PULL, "pull")] {
            for (flag, hint) in flags {
                match advice(&format!("ireko {command} {flag} x y"), command) {
                    Some(Advice::Flag { name, hint: said }) => {
                        assert_eq!((name.as_str(), said), (*flag, *hint))
                    }
                    _ => panic!("`{command} {flag}` has no advice"),
                }
            }
        }
        let command =
            |typed: &str| match advice(&format!("docker {typed}"), typed.split(' ').next().unwrap_or("")) {
                Some(Advice::Command { name, hint }) => format!("{name}: {hint}"),
                _ => panic!("`{typed}` has no advice"),
            };
        assert_eq!(command("stop"), format!("stop: {NO_CONTAINERS}"));
        assert_eq!(command("container kill a"), format!("container kill: {NO_CONTAINERS}"));
        assert_eq!(command("swarm init"), format!("swarm: {NO_SWARM}"));
        assert_eq!(command("biuld ."), "biuld: did you mean `ireko build`?");
        let all = advice("ireko pull -a x", "pull");
        assert!(matches!(all, Some(Advice::Flag { hint, .. }) if hint.contains("name the tags")));
        let mounts = advice("ireko build -v /a:/b:ro .", "build");
        assert!(matches!(mounts, Some(Advice::Flag { name, .. }) if name == "--volume"));
        assert!(advice("ireko build -v a b", "build").is_none());
        assert!(advice("ireko build --nothing-like-it .", "build").is_none());
    }

    #[test]
    fn the_guide_names_every_flag_of_build_that_is_refused() {
        let guide = include_str!("../../../docs/user/from-docker.md");
        for (flag, _) in BUILD.iter().filter(|(flag, _)| !flag.starts_with("--userns-")) {
            assert!(guide.contains(&format!("`{flag}`")), "{flag}");
        }
    }
}
