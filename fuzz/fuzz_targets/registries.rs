//! Files with logins, `registries.conf` and `daemon.json`: whatever they hold, a name leads to places that are names,
//! and nothing panics.
#![no_main]

use ireko_oci::Reference;
use ireko_registry::{Hosts, Keychain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let names = ["app", "ghcr.io/team/app:1", "localhost:5000/a/b/c"];
    let names: Vec<Reference> = names.iter().filter_map(|name| name.parse().ok()).collect();
    // No program is asked: helpers are for the tests beside the code.
    if !text.contains("cred") && !text.contains("\\u") {
        let keychain = Keychain { inline: Some(("file".to_owned(), text.to_owned())), ..Keychain::default() };
        for name in &names {
            let _ = keychain.login(name, &|| true);
        }
    }
    let mut hosts = Hosts::default();
    let _ = hosts.add_registries_conf("registries.conf", text);
    let _ = hosts.add_daemon_json("daemon.json", text);
    for name in &names {
        for place in hosts.endpoints(name).unwrap_or_default() {
            assert_eq!((place.tag(), place.digest()), (name.tag(), name.digest()));
            assert!(place.to_string().parse::<Reference>().is_ok_and(|again| again == place));
        }
    }
});
