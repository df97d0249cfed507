//! Engines that are servers of the tests'.

use super::*;
use crate::export::parts_of;
use crate::testing::{World, host, image, said};
use crate::{Source, keep};
use ireko_engine::Surroundings;
use ireko_report::Event;
use ireko_testkit::{Answer, Received, Server};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Images as an engine tells of them: by name, each with its id and its layers.
type Has = BTreeMap<String, (Digest, Vec<Digest>)>;

/// A server that has these images.
fn serve(kind: Kind, has: Has) -> Server {
    Server::start(move |request: &Received| {
        let path = request.path.as_str();
        let name = path.trim_start_matches("/images/").trim_end_matches("/json");
        match (path, has.get(name)) {
            ("/_ping", _) if kind == Kind::Podman => Answer::ok("OK").header("Libpod-API-Version", "5"),
            ("/_ping", _) => Answer::ok("OK"),
            ("/images/json", _) => Answer::ok("[]"),
            (_, Some((id, layers))) => {
                let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
                let platform = host();
                Answer::ok(
                    serde_json::json!({
                        "Id": id.to_string(), "Os": platform.os, "Architecture": platform.architecture,
                        "Variant": platform.variant, "RootFS": {"Layers": layers},
                    })
                    .to_string(),
                )
            }
            _ => Answer::status(404),
        }
    })
}

fn address(server: &Server) -> Address {
    Address::Tcp { host: server.address(), certificates: None }
}

fn connect(server: &Server) -> Engine {
    Engine::connect(&address(server), &Transfers::default(), None).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

#[track_caller]
fn check_layers(kind: Kind, there: &[&str], wanted: &[&str], expect: &[&str]) {
    let digests = |texts: &[&str]| texts.iter().map(|text| digest(text)).collect::<Vec<_>>();
    let server = serve(kind, Has::from([("app:1".to_owned(), (digest("id"), digests(there)))]));
    let found = layers_at(&connect(&server), &digests(wanted), &["app:1".parse().unwrap()]).unwrap();
    assert_eq!(found, digests(expect).into_iter().collect());
}

#[test]
fn docker_has_a_layer_where_all_below_are_the_same() {
    check_layers(Kind::Docker, &["a", "b"], &["a", "b", "c"], &["a", "b"]);
    check_layers(Kind::Docker, &["b", "a"], &["a", "b"], &[]);
    // The same layer twice is two of Docker's.
    check_layers(Kind::Docker, &["a"], &["a", "a", "a"], &[]);
    check_layers(Kind::Docker, &["a", "b"], &["a", "b", "a"], &["b"]);
    check_layers(Kind::Docker, &["a", "a"], &["a", "a", "c"], &["a"]);
}

#[test]
fn what_was_taken_is_looked_up() {
    let (world, id) = (World::new(), digest("other"));
    let dir = world.path("layout");
    image().write_layout(&dir, "1");
    let stored = world.images().load(LoadFrom::Path(&dir)).unwrap().remove(0).image;
    let part = parts_of(&world.store, &stored).unwrap().remove(0);
    let check = |kind, has: &[(&str, Digest)], keeps_content, names: &[&str], lines: &[&str]| {
        let of = |(name, id): &(&str, Digest)| ((*name).to_owned(), (*id, stored.diff_ids.clone()));
        let server = serve(kind, has.iter().map(of).collect());
        let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let result = arrived(&connect(&server), &part, &names, (keeps_content, &lines));
        result.map_err(|error| said(&error).replace(&server.address(), "HOST")).err().unwrap_or_default()
    };
    let own = stored.id;
    assert_eq!(
        check(Kind::Docker, &[], false, &["app"], &[]),
        "cannot load an image: Docker at HOST took it, but `app:latest` is not this image there afterwards"
    );
    assert_eq!(check(Kind::Docker, &[("app:latest", own)], false, &["app"], &[]), "");
    // An older one of the same name.
    assert_ne!(check(Kind::Docker, &[("app:latest", id)], false, &["app"], &[]), "");
    assert_eq!(check(Kind::Docker, &[("app:latest", id)], true, &["app"], &[]), "");
    assert_ne!(check(Kind::Docker, &[("app:latest", own)], false, &["app", "app:2"], &[]), "");
    assert_eq!(check(Kind::Podman, &[("docker.io/library/app:1", own)], false, &["app:1"], &[]), "");
    assert_eq!(check(Kind::Podman, &[("localhost/app:1", own)], false, &["app:1"], &[]), "");
    let (plain, told) = (own.to_string(), "Loaded image ID: x");
    assert_eq!(check(Kind::Docker, &[(&plain, own)], false, &[], &[]), "");
    assert_eq!(check(Kind::Docker, &[("x", id)], true, &[], &[told]), "");
    assert_ne!(check(Kind::Docker, &[], false, &[], &[told]), "");
}

/// Two images of the store without names.
fn two(world: &World) -> [(Digest, Vec<Digest>); 2] {
    let dir = world.path("layout");
    image().write_layout(&dir, "1");
    let first = world.images().load(LoadFrom::Path(&dir)).unwrap().remove(0).image;
    let mut config = world.store.image_config(&first).unwrap();
    config.config.cmd = vec!["other".to_owned()];
    let second = keep(&world.store, &crate::testing::unchanged(config), &[]).unwrap();
    [(first.id, first.diff_ids), (second.id, second.diff_ids)]
}

#[test]
fn a_bare_name_means_what_podman_built_before_what_it_pulled() {
    let world = World::new();
    let [ours, pulled] = two(&world);
    let names = ["localhost/base:1", "docker.io/library/base:1"].map(str::to_owned);
    let server = serve(Kind::Podman, names.into_iter().zip([ours.clone(), pulled]).collect());
    let images = world.images().with_engines(Engines::new(vec![address(&server)]));
    let found = images.resolve(&Source::Reference("base:1".parse().unwrap()), &host()).unwrap();
    assert_eq!(found.config_digest, ours.0);
    // Nobody else knows the config's digest, but there is no other.
    assert_eq!(
        found.digest,
        images.store().image_by_id(&ours.0).unwrap().unwrap().manifest.unwrap_or(ours.0)
    );
}

#[test]
fn a_base_keeps_the_digest_it_was_asked_for_by() {
    let (world, pin) = (World::new(), digest("manifest"));
    let [_, there] = two(&world);
    let name = format!("example.com/base@{pin}");
    let server = serve(Kind::Docker, Has::from([(name.replace('@', "%40"), there.clone())]));
    let images = world.images().with_engines(Engines::new(vec![address(&server)]));
    let found = images.resolve(&Source::Reference(name.parse().unwrap()), &host()).unwrap();
    assert_eq!((found.digest, found.config_digest), (pin, there.0));
}

#[test]
fn an_engine_that_hangs_is_passed_over_and_keeps_nobody_from_stopping() {
    let world = World::new();
    let path = world.path("socket");
    // Connections wait in its queue.
    let _listens = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let images = world.images().with_engines(Engines::new(vec![Address::Socket(path)]));
    let (name, platform) = ("base:1".parse().unwrap(), host());
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| images.in_engines(&name, &platform));
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        images.abort();
        let error = looking.join().unwrap().unwrap_err();
        assert_eq!(error.blame(), Blame::Interrupted);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    });
    // What was interrupted is begun again, where it may be.
    assert_eq!(images.engines().first().unwrap_err().blame(), Blame::Interrupted);
    images.resume();
    assert!(!images.registry().client().is_aborted());
    assert_eq!(images.in_engines(&name, &platform).unwrap(), None);
    assert_eq!(images.in_engines(&name, &platform).unwrap(), None);
    let warned = warned(&world);
    assert!(matches!(&warned[..], [one] if one.contains("did not send an answer within 5 s")), "{warned:?}");
}

/// What was warned of so far.
fn warned(world: &World) -> Vec<String> {
    let events = world.events.lock().unwrap();
    let message = |event: &Event| match event {
        Event::Warning { diagnostic } => Some(diagnostic.message.clone()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

#[test]
fn an_engine_that_was_named_and_is_not_there_is_told_once() {
    let world = World::new();
    let (name, platform) = ("base:1".parse().unwrap(), host());
    let absent = Address::Socket(world.path("nothing"));
    let unknown = Address::parse("here", "DOCKER_HOST", &Surroundings::default()).unwrap_err();
    for (engines, says) in [
        // One that is only looked for may well be absent.
        (Engines::new(vec![absent.clone()]), None),
        (Engines::named(absent), Some("nothing")),
        (Engines::unusable(unknown), Some("`here`, from DOCKER_HOST, is no address")),
    ] {
        let images = world.images().with_engines(engines);
        for _ in 0..2 {
            assert_eq!(images.in_engines(&name, &platform).unwrap(), None);
        }
        assert!(images.engines().first().is_err());
        let told = warned(&world);
        assert_eq!(told.len(), usize::from(says.is_some()), "{told:?}");
        assert!(
            says.is_none_or(|says| told[0].contains("passed over") && told[0].contains(says)),
            "{told:?}"
        );
        world.events.lock().unwrap().clear();
    }
}
