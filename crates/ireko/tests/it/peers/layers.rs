//! As many layers as an image may have.

use crate::daemons::Engine;
use crate::support::Place;

/// Docker's limit is 125 or so, with two of a container's own.
const LAYERS: usize = 120;

#[test]
fn a_hundred_and_twenty_layers_go_there_and_back() {
    let Some(place) = Place::with_base() else { return };
    let below = place.layers("base").len();
    let steps: Vec<String> = (below + 1..=LAYERS)
        .map(|at| match at % 3 {
            0 => format!("RUN mkdir -p /many && echo {at} >/many/{at} && rm -f /many/{}\n", at - 2),
            1 => format!("COPY one /many/{at}\n"),
            _ => format!("RUN mkdir -p /many && echo {at} >>/many/log && ln -sf {at} /many/newest\n"),
        })
        .collect();
    place.file("one", "one\n");
    let script = "cd /many && ls | wc -l && cat log | sha256sum && readlink newest";
    place.dockerfile(&format!("FROM base\n{}CMD [\"sh\", \"-c\", \"{script}\"]\n", steps.concat()));
    place.build(&["-o", "type=docker,dest=docker.tar", "-o", "type=oci,dest=oci.tar"]).ok();
    assert_eq!(place.layers("app").len(), LAYERS);
    let said = place.ireko(&["run", "app"]).ok().stdout;
    // What one step copies, the next but one removes; `log` and `newest` are there too.
    let names = (below + 1..=LAYERS).filter(|at| at % 3 == 0).count() + 2;
    assert!(said.starts_with(&format!("{names}\n")), "{names} names: {said}");
    let mut archives = vec!["docker.tar", "oci.tar"];
    if let Some(engine) = Engine::start() {
        let path = |name: &str| place.path(name).display().to_string();
        engine.docker(&["load", "-i", &path("docker.tar")]).ok();
        let theirs = engine.docker(&["run", "--rm", "--network=none", "app"]).ok();
        assert_eq!(theirs.stdout, said);
        engine.docker(&["save", "-o", &path("saved.tar"), "app"]).ok();
        archives.push("saved.tar");
    }
    for archive in archives {
        let Some(other) = Place::new() else { return };
        other.ireko(&["load", "-i", &place.path(archive).display().to_string()]).ok();
        assert_eq!(other.layers("app"), place.layers("app"), "{archive}");
        assert_eq!(other.ireko(&["run", "app"]).ok().stdout, said, "{archive}");
    }
}

/// An image of the engine's own making is saved, loaded, run and built upon.
#[test]
fn what_docker_builds_and_saves_is_read() {
    let Some(engine) = Engine::start() else { return };
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    let path = |name: &str| place.path(name).display().to_string();
    engine.docker(&["load", "-i", &path("base.tar")]).ok();
    place.file("word", "from the context\n");
    place.dockerfile(
        "FROM base\nCOPY word /word\nRUN rm -rf /var && mkdir -p /var/own && chown app /var/own && ln /word /link\nENV A=1\nUSER app\nWORKDIR /var/own\nENTRYPOINT [\"sh\", \"-c\", \"cat /link; pwd; id; echo $A; stat -c %h:%a /word; ls /var\"]\n",
    );
    let mut build = engine.command(&["build", "-q", "-t", "theirs", &path("context")]);
    let built = crate::support::Said::of(build.env("DOCKER_BUILDKIT", "0").output().expect("a client"));
    built.ok();
    let said = engine.docker(&["run", "--rm", "--network=none", "theirs"]).ok().stdout;
    assert!(said.starts_with("from the context\n/var/own\nuid=1000(app)"), "{said}");
    engine.docker(&["save", "-o", &path("saved.tar"), "theirs"]).ok();
    let Some(other) = Place::new() else { return };
    other.ireko(&["load", "-i", &path("saved.tar")]).ok();
    assert_eq!(other.ireko(&["run", "theirs"]).ok().stdout, said);
    let id = engine.docker(&["inspect", "-f", "{{.Id}}", "theirs"]).ok().stdout;
    assert_eq!(id.trim(), other.id("theirs"));
    other.dockerfile("FROM theirs\nRUN echo more >more\nENTRYPOINT []\nCMD [\"cat\", \"/word\", \"more\"]\n");
    other.build(&[]).ok();
    assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "from the context\nmore\n");
    other.sound();
}
