//! Updates a suite by the host's configuration of apt, as `base` does:
//! `cargo run -p ireko-deb --example update -- CACHE debian|ubuntu SUITE ARCHITECTURE [ROOT [PACKAGE…]]`.
//! Says who signed what, and fetches the packages that are named.
#![expect(clippy::print_stdout, reason = "an example is a command line")]

use std::error::Error;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ireko_deb::archive::{Archive, CONNECTIONS, Cache, List, Package, Place, Updated};
use ireko_deb::control;
use ireko_deb::host::Host;
use ireko_deb::release::{Listed, parse_hash, show_date};
use ireko_deb::sources::{self, Distribution, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [cache, distribution, suite, architecture, rest @ ..] = &words[..] else {
        return Err("usage: update CACHE debian|ubuntu SUITE ARCHITECTURE [ROOT [PACKAGE…]]".into());
    };
    let of = match distribution.as_str() {
        "debian" => Distribution::Debian,
        "ubuntu" => Distribution::Ubuntu,
        other => return Err(format!("`{other}` is neither debian nor ubuntu").into()),
    };
    #[expect(clippy::disallowed_methods, reason = "an example is a command line")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let host = Host::read(Path::new(rest.first().map_or("/", String::as_str)), architecture)?;
    let mut chosen = sources::serving(&host.sources, of, suite, architecture);
    if chosen.is_empty() {
        chosen = sources::defaults(of, suite, architecture);
    }
    let keys = chosen.iter().map(|source| host.keys(source, Some(of))).collect::<Result<Vec<_>, _>>()?;
    let places: Vec<Place<'_>> =
        chosen.iter().zip(&keys).map(|(source, keys)| Place { source, keys }).collect();
    let options = ireko_http::Options { proxies: host.conf.proxies(), ..Default::default() };
    let (client, cache) = (&ireko_http::Client::new(options), &Cache::open(cache, now)?);
    let (logins, connections) = (&host.logins, CONNECTIONS);
    let archive =
        Archive { client, cache, logins, now, past: false, connections, watch: &|_done, _total| {} };
    let begun = Instant::now();
    let updated = archive.update_all(&places, architecture).into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("updated in {:.3} s", begun.elapsed().as_secs_f64());
    let mut wanted = Vec::new();
    for (source, updated) in chosen.iter().zip(&updated) {
        tell(source, updated);
        for list in updated.lists.iter().filter(|_| rest.len() > 1) {
            wanted.extend(named(list, &rest[1..])?);
        }
    }
    let begun = Instant::now();
    for (path, package) in archive.fetch(&wanted)?.iter().zip(&wanted) {
        println!("{} is {}", package.addresses[0], path.display());
    }
    println!("fetched in {:.3} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn tell(source: &Source, updated: &Updated) {
    let date = updated.release.date.map(show_date).unwrap_or_default();
    let origin = updated.release.origin.as_deref().unwrap_or("nobody");
    println!("{} {}: {origin}'s of {date}", source.uri, source.suite);
    for signer in &updated.signers {
        println!("  signed by {} of {} on {}", signer.key, signer.primary, show_date(signer.signed));
    }
}

/// The packages of a list with these names.
fn named(list: &List, names: &[String]) -> Result<Vec<Package>, Box<dyn Error>> {
    let (begun, text) = (Instant::now(), list.read()?);
    let (mut found, mut count) = (Vec::new(), 0);
    for package in control::paragraphs(&text) {
        let package = package?;
        count += 1;
        let field = |name: &str| package.get(name).unwrap_or_default();
        if names.iter().any(|name| name == field("Package")) {
            let sha256 = parse_hash(field("SHA256")).ok_or("a package has no SHA-256")?;
            let listed = Listed { size: field("Size").parse()?, sha256 };
            found.push(Package { addresses: vec![list.address(field("Filename"))?], listed });
        }
    }
    let (size, elapsed) = (text.len() >> 10, begun.elapsed().as_secs_f64());
    println!(
        "  {} {}: {count} packages, {size} KiB, read in {elapsed:.3} s",
        list.component, list.architecture
    );
    Ok(found)
}
