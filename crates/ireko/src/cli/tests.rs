//! What people type.

use super::*;

#[test]
fn flags_do_not_contradict_each_other() {
    Cli::command().debug_assert();
    as_docker(Cli::command()).debug_assert();
}

fn build(typed: &str) -> Result<BuildArgs, clap::Error> {
    let typed: Vec<OsString> = format!("ireko build {typed}").split(' ').map(OsString::from).collect();
    match Cli::read(&typed)?.command {
        Command::Build(args) => Ok(*args),
        other => panic!("`{other:?}` is no build"),
    }
}

#[test]
fn flags_are_read_as_docker_reads_them() {
    let shown = |typed| {
        let args = build(typed).expect("docker takes it");
        let BuildArgs { pull, no_cache, out: OutputArgs { quiet, tag, .. }, source, .. } = args;
        format!("{pull:?} {no_cache} {quiet} {tag:?} {:?} {}", source.file, source.context)
    };
    for (typed, expect) in [
        ("--pull=true --no-cache=0 ctx", "Some(Always) false false [] None ctx"),
        ("--pull --pull=false .", "Some(Missing) false false [] None ."),
        ("--no-cache --no-cache .", "None true false [] None ."),
        ("--rm ctx", "None false false [] None ctx"),
        ("--rm=false --force-rm --compress=true ctx", "None false false [] None ctx"),
        ("-qt app -t b:1 --tag=c -fx -f y ctx", "None false true [\"app\", \"b:1\", \"c\"] Some(\"y\") ctx"),
        ("ctx -q=false --pull", "Some(Always) false false [] None ctx"),
    ] {
        assert_eq!(shown(typed), expect, "{typed}");
    }
    assert!(build("--pull=perhaps .").is_err());
    assert!(build("a b").is_err());
}

#[test]
fn help_shows_switches_as_people_type_them() {
    let help = build("--help").expect_err("help is no build");
    assert!(!help.use_stderr());
    let help = help.to_string();
    assert!(help.contains("--no-cache") && !help.contains("--no-cache["), "{help}");
}

#[test]
fn what_follows_the_image_of_a_run_is_left_alone() {
    let typed = ["ireko", "run", "--rm", "app", "prog", "--rm=x", "--read-only", "-q"].map(OsString::from);
    let Command::Run(run) = Cli::read(&typed).expect("docker takes it").command else { panic!("not a run") };
    assert!(run.rm && !run.read_only);
    assert_eq!(run.image(), "app");
    assert_eq!(run.arguments(), ["prog", "--rm=x", "--read-only", "-q"]);
}
