//! Proxies for steps and containers: as Docker's configuration says, or as this process has them where that is asked.

use crate::environment::Environment;
use crate::failure::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Proxies {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
    ftp_proxy: Option<String>,
    all_proxy: Option<String>,
}

/// The variables that name proxies, in capitals.
const NAMES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "FTP_PROXY", "ALL_PROXY"];

/// What steps and containers are told of proxies, each name in both cases: `proxies` in Docker's `config.json`, and
/// with `own` the variables of this process, which win.
pub(crate) fn for_steps(environment: &Environment, own: bool) -> Result<Vec<(String, String)>, Failure> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    if let Some(path) = environment.docker_dir().map(|dir| dir.join("config.json")) {
        let said = read(&path)?.proxies;
        let host = environment.get("DOCKER_HOST").unwrap_or_default();
        let chosen = said.get(host).or_else(|| said.get("default")).cloned().unwrap_or_default();
        let Proxies { http_proxy, https_proxy, no_proxy, ftp_proxy, all_proxy } = chosen;
        let values = [http_proxy, https_proxy, no_proxy, ftp_proxy, all_proxy];
        for (name, value) in NAMES.into_iter().zip(values) {
            found.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
        }
    }
    for name in NAMES.into_iter().filter(|_| own) {
        let value = environment.get(&name.to_ascii_lowercase()).or_else(|| environment.get(name));
        found.extend(value.map(|value| (name, value.to_owned())));
    }
    let both = |(name, value): (&str, String)| {
        [(name.to_owned(), value.clone()), (name.to_ascii_lowercase(), value)]
    };
    Ok(found.into_iter().flat_map(both).collect())
}

fn read(path: &Path) -> Result<Config, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(Config::default());
        }
        Err(error) => return Err(Failure::user(format!("cannot read `{}`", path.display())).cause(error)),
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Config::default());
    }
    let wrong = |line: usize, column: usize| {
        let place = format!("line {line}, column {column}");
        Failure::user(format!("cannot use `{}`: it is not as Docker writes it ({place})", path.display()))
            .hint("mend the file, or move it away")
    };
    // What reads objects would take a list for one, field after field.
    if text.trim_ascii_start().starts_with(b"[") {
        return Err(wrong(1, 1));
    }
    // The message of the parser may hold a value, and values may be secrets: only the place is told.
    serde_json::from_slice(&text).map_err(|error| wrong(error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_entry_wins_over_the_default() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = r#"{"auths": {}, "proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "a,b"}, "tcp://h:2": {"httpsProxy": "http://q"}}}"#;
        fs::write(dir.path().join("config.json"), text).expect("a file");
        let config = dir.path().to_str().expect("a path");
        let said = |environment: &Environment, own| {
            let all = for_steps(environment, own).expect("they are read");
            all.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        let plain = Environment::of([("DOCKER_CONFIG", config), ("https_proxy", "http://own")]);
        assert_eq!(
            said(&plain, false),
            "HTTP_PROXY=http://p:1 http_proxy=http://p:1 NO_PROXY=a,b no_proxy=a,b"
        );
        assert!(said(&plain, true).contains("HTTPS_PROXY=http://own https_proxy=http://own"));
        let other = Environment::of([("DOCKER_CONFIG", config), ("DOCKER_HOST", "tcp://h:2")]);
        assert_eq!(said(&other, false), "HTTPS_PROXY=http://q https_proxy=http://q");
        assert_eq!(said(&Environment::of([("HOME", "/nowhere")]), false), "");
        for broken in ["{", "[]"] {
            fs::write(dir.path().join("config.json"), broken).expect("a file");
            let failure = for_steps(&plain, false).expect_err("it is broken");
            assert!(failure.message.contains("line 1, column 1"), "{}", failure.message);
        }
    }
}
