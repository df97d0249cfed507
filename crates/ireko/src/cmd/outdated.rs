//! `ireko base --outdated IMAGE`: which packages of an image the archive has newer, and which of these for security.

use crate::cli::{BaseArgs, Format, Global};
use crate::cmd::{build, images, pack};
use crate::debian::{Lists, Suite};
use crate::debian_base::SUITE;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::session::Session;
use crate::settle;
use crate::text::table;
use crate::{print, print_json};
use ireko_deb::index::{Index, VersionId};
use ireko_deb::installed::{Installed, installed, is_list};
use ireko_deb::version;
use ireko_layer::{Change, ChangeKind};
use ireko_oci::ImageConfig;
use ireko_pack::sbom::{Distribution, os_release};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The exit code where something is outdated.
const IS_OUTDATED: u8 = 1;

/// A package that the archive has newer.
struct Outdated<'a> {
    is: &'a Installed,
    now: String,
    suites: Vec<String>,
    is_security: bool,
}

/// Runs the command.
pub(super) fn run(args: &BaseArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let asked = settle::platform_named(args.platform.as_deref(), &environment)?;
    let progress = build::progress(&args.out, &environment)?;
    let session = Session::enter(global, environment, progress, false)?;
    let cancel = crate::signals::cancel_on_signals()?;
    let store = session.store()?;
    let image = images::find_for(&store, &args.name, asked.as_ref().map(|(platform, _)| platform))?;
    let fetch = pack::images(&args.out, &session, &store, &[])?;
    let aborted = std::sync::Arc::clone(&fetch);
    let _stopping = cancel.on_ask(move || aborted.abort());
    fetch.complete(&image)?;
    let files = Files::read(&ireko_image::merged(&store, &image.diff_ids)?)?;
    let packages = files.packages(&args.name)?;
    let suite = suite_of(&store.image_config(&image)?, &files, &args.name)?;
    let lists = Lists::update((&session, &store, &cancel), &suite, (&args.archive, &image.platform))?;
    let index = lists.index()?;
    let (outdated, unknown) =
        compared(&packages, (&index, lists.architecture()), &|list| lists.suite_of_list(list));
    session.screen.close();
    let suite = format!("{}:{}", suite.of.origin().to_ascii_lowercase(), lists.suite().name);
    match args.format {
        Format::Json => print_json(&json!({
            "image": args.name,
            "suite": suite,
            "date": crate::debian::shown_date(lists.date()),
            "packages": packages.len(),
            "outdated": outdated.iter().map(|one| json!({
                "name": one.is.name,
                "architecture": one.is.architecture,
                "installed": one.is.version,
                "available": one.now,
                "suites": one.suites,
                "security": one.is_security,
            })).collect::<Vec<_>>(),
            "unknown": unknown,
        })),
        Format::Table => print(&told(&outdated, &unknown, (packages.len(), &suite))),
    }
    if outdated.is_empty() {
        return Ok(());
    }
    // The list says it.
    Err(Failure::user("packages are outdated").with_code(IS_OUTDATED).told(true))
}

/// The files of an image that say what is in it.
#[derive(Default)]
struct Files {
    /// Texts by their path.
    status: BTreeMap<String, String>,
    os_release: Option<String>,
}

impl Files {
    fn read(changes: &[Change]) -> Result<Self, Failure> {
        let mut files = Self::default();
        for change in changes {
            let path = change.path.to_string();
            let is_status = is_list(&path);
            let is_release = ["etc/os-release", "usr/lib/os-release"].contains(&path.as_str());
            let ChangeKind::File(data) = &change.kind else { continue };
            if !(is_status || is_release) {
                continue;
            }
            let bytes = data.read(&change.path).map_err(|error| Failure::of(error.blame(), &error))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match is_status {
                true => _ = files.status.insert(path, text),
                false => files.os_release = Some(text),
            }
        }
        Ok(files)
    }

    fn packages(&self, image: &str) -> Result<Vec<Installed>, Failure> {
        let mut packages = BTreeSet::new();
        for (path, text) in &self.status {
            packages.extend(installed(text).map_err(|error| {
                Failure::user(format!("cannot read `/{path}` of image `{image}`")).cause(error)
            })?);
        }
        if packages.is_empty() {
            return Err(Failure::user(format!("image `{image}` has no Debian packages")).hint(
                "they are looked for in /var/lib/dpkg/status and /var/lib/dpkg/status.d; is it an image of Debian or Ubuntu?",
            ));
        }
        Ok(packages.into_iter().collect())
    }
}

/// Of which suite an image is: as it is labelled, or as its `/etc/os-release` says.
fn suite_of(config: &ImageConfig, files: &Files, image: &str) -> Result<Suite, Failure> {
    if let Some(label) = config.config.labels.get(SUITE) {
        return Suite::parse(label);
    }
    let unknown = |why: String| {
        Failure::user(format!("it is not known of which suite image `{image}` is: {why}")).hint(
            "images of Debian and Ubuntu say it in /etc/os-release, or in the label `ireko.base.suite` (`debian:bookworm`)",
        )
    };
    let release = os_release(files.os_release.as_deref().unwrap_or_default());
    let Distribution { id, codename, version, .. } =
        release.ok_or_else(|| unknown("its os-release has no ID".to_owned()))?;
    if !["debian", "ubuntu"].contains(&&*id) {
        return Err(unknown(format!("it is of `{id}`")));
    }
    let name = [codename, version].into_iter().find(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| unknown("its os-release names neither a codename nor a version".to_owned()))?;
    Suite::parse(&format!("{id}:{name}"))
}

/// What is outdated, and the names that the archive does not know. Of a list it is told the suite, and whether that is
/// one of security.
fn compared<'a>(
    packages: &'a [Installed],
    (index, native): (&Index<'_>, &str),
    suite_of: &dyn Fn(usize) -> (String, bool),
) -> (Vec<Outdated<'a>>, Vec<&'a str>) {
    let (mut outdated, mut unknown) = (Vec::new(), Vec::new());
    for is in packages {
        let versions = match is.architecture.as_str() {
            "" | "all" => index.versions_named(&is.name),
            architecture if architecture == native => index.versions_named(&is.name),
            // The lists are of one architecture.
            _ => Vec::new(),
        };
        let is_newer = |of: &VersionId| version::compare(index.version(*of), &is.version).is_gt();
        let newer: Vec<VersionId> = versions.iter().copied().filter(is_newer).collect();
        let suites = |of: VersionId| index.found(of).into_iter().map(|found| suite_of(found.list));
        match (newer.first(), versions.is_empty()) {
            (None, true) => unknown.push(is.name.as_str()),
            (None, false) => {}
            (Some(newest), _) => {
                let in_security = newer.iter().flat_map(|of| suites(*of)).any(|(_, is_security)| is_security);
                let names: BTreeSet<String> = suites(*newest).map(|(name, _)| name).collect();
                outdated.push(Outdated {
                    is,
                    now: index.version(*newest).to_owned(),
                    suites: names.into_iter().collect(),
                    is_security: in_security,
                });
            }
        }
    }
    (outdated, unknown)
}

fn told(outdated: &[Outdated<'_>], unknown: &[&str], (count, suite): (usize, &str)) -> String {
    let mut rows = vec![["PACKAGE", "INSTALLED", "AVAILABLE", "SUITE", ""].map(str::to_owned).to_vec()];
    for one in outdated {
        let mark = if one.is_security { "security" } else { "" };
        let (name, suites) = (one.is.name.clone(), one.suites.join(", "));
        rows.push(vec![name, one.is.version.clone(), one.now.clone(), suites, mark.to_owned()]);
    }
    let mut out = if outdated.is_empty() { String::new() } else { table(&rows) };
    let security = outdated.iter().filter(|one| one.is_security).count();
    out += &match outdated.len() {
        0 => format!("{count} packages, none outdated ({suite})\n"),
        some => format!("{count} packages, {some} outdated, {security} of these for security ({suite})\n"),
    };
    if !unknown.is_empty() {
        out += &format!("not in the archive: {}\n", unknown.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(label: Option<&str>, release: &str) -> String {
        let mut config = ImageConfig::default();
        config.config.labels.extend(label.map(|label| (SUITE.to_owned(), label.to_owned())));
        let files = Files { os_release: Some(release.to_owned()), ..Files::default() };
        match suite_of(&config, &files, "app") {
            Ok(suite) => format!("{}:{}", suite.of.origin(), suite.name),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn what_a_suite_of_security_has() {
        let stanza = |name: &str, version: &str| {
            format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a\nDescription: a\n\n"
            )
        };
        let main = [stanza("a", "1"), stanza("b", "3"), stanza("c", "1"), stanza("d", "2")].concat();
        let security = [stanza("a", "1.1"), stanza("b", "2")].concat();
        let list = |text| ireko_deb::index::List { text, ..Default::default() };
        let lists = vec![list(main.as_str()), list(&security)];
        let input = ireko_deb::index::Input { native: "amd64", lists, ..Default::default() };
        let index = Index::build(&input).expect("an index");
        let is = |name: &str, architecture: &str| Installed {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            version: "1".to_owned(),
        };
        let packages = ["a", "b", "c", "d", "e"].map(|name| is(name, "amd64"));
        let packages = [&packages[..], &[is("a", "i386")]].concat();
        let suite_of = |list: usize| (["x", "x-security"][list].to_owned(), list == 1);
        let (outdated, unknown) = compared(&packages, (&index, "amd64"), &suite_of);
        let shown: Vec<String> = outdated
            .iter()
            .map(|one| format!("{} {} {} {}", one.is.name, one.now, one.suites.join(" "), one.is_security))
            .collect();
        // The newest of `b` is in no suite of security, but one that is newer is.
        assert_eq!(shown, ["a 1.1 x-security true", "b 3 x true", "d 2 x false"]);
        assert_eq!(unknown, ["e", "a"]);
    }

    #[test]
    fn suites_of_images() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
        for (label, release, wanted) in [
            (Some("debian:trixie"), debian, "Debian:trixie"),
            (None, debian, "Debian:bookworm"),
            (None, "ID=ubuntu\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble", "Ubuntu:noble"),
            (
                None,
                "ID=alpine\nVERSION_ID=3.20",
                "it is not known of which suite image `app` is: it is of `alpine`",
            ),
            (None, "", "it is not known of which suite image `app` is: its os-release has no ID"),
            (
                None,
                "ID=debian",
                "it is not known of which suite image `app` is: its os-release names neither a codename nor a version",
            ),
        ] {
            assert_eq!(suite(label, release), wanted);
        }
    }
}
