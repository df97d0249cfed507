//! Updates a suite by the host's configuration of apt, as `base` does: `cargo run -p ireko-deb --example update --
//! CACHE DISTRIBUTION SUITE ARCHITECTURE [ROOT [PACKAGE…]]`. Says who signed what, how many packages there are, and fetches the
//! packages that are named.
#![expect(clippy::print_stdout, reason = "an example is a command line")]

use std::error::Error;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ireko_deb::archive::{Archive, CONNECTIONS, Cache, Package, Place};
use ireko_deb::host::Host;
use ireko_deb::release::{Listed, parse_hash, show_date};
use ireko_deb::sources::{self, Distribution};
use ireko_deb::{control, release};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [cache, distribution, suite, architecture, rest @ ..] = &words[..] else {
        return Err("usage: update CACHE DISTRIBUTION SUITE ARCHITECTURE [ROOT [PACKAGE…]]".into());
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
    let client =
        ireko_http::Client::new(ireko_http::Options { proxies: host.conf.proxies(), ..Default::default() });
    let cache = Cache::open(cache, now)?;
    let (client, cache, logins) = (&client, &cache, &host.logins);
    let archive = Archive {
        client,
        cache,
        logins,
        now,
        past: false,
        connections: CONNECTIONS,
        watch: &|_done, _total| {},
    };
    let begun = Instant::now();
    let updated = archive.update_all(&places, architecture).into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("updated in {:.3} s", begun.elapsed().as_secs_f64());
    let mut wanted = Vec::new();
    for (source, updated) in chosen.iter().zip(&updated) {
        let date = updated.release.date.map(show_date).unwrap_or_default();
        println!(
            "{} {}: {} of {date}",
            source.uri,
            source.suite,
            updated.release.origin.as_deref().unwrap_or("?")
        );
        for signer in &updated.signers {
            println!("  signed by {} of {} on {}", signer.key, signer.primary, show_date(signer.signed));
        }
        for list in updated.lists.iter().filter(|_| rest.len() > 1) {
            let begun = Instant::now();
            let text = list.read()?;
            let mut count = 0;
            for package in control::paragraphs(&text) {
                let package = package?;
                count += 1;
                let field = |name: &str| package.get(name).unwrap_or_default();
                if rest.iter().skip(1).any(|name| name == field("Package")) {
                    let sha256 = parse_hash(field("SHA256")).ok_or("no hash")?;
                    let listed = Listed { size: field("Size").parse()?, sha256 };
                    wanted.push(Package { addresses: vec![list.address(field("Filename"))?], listed });
                }
            }
            let (size, elapsed) = (text.len() >> 10, begun.elapsed().as_secs_f64());
            println!(
                "  {} {}: {count} packages, {size} KiB, read in {elapsed:.3} s",
                list.component, list.architecture
            );
        }
    }
    let begun = Instant::now();
    for (path, package) in archive.fetch(&wanted)?.iter().zip(&wanted) {
        println!("{} is {}", package.addresses[0], path.display());
        let _ = release::show_hash(&package.listed.sha256);
    }
    println!("fetched in {:.3} s", begun.elapsed().as_secs_f64());
    Ok(())
}
