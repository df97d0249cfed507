//! What this machine and the person say of registries: logins, certificates, mirrors, proxies.

use crate::cli::registry::RegistryArgs;
use crate::environment::Environment;
use crate::failure::Failure;
use ireko_oci::Reference;
use ireko_registry::{AuthFile, Hosts, Keychain, Options, Secret};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Larger than any configuration.
const FILE_MAX: u64 = 16 << 20;

/// What a session with registries is made with. `named` are the images of the command line: what flags say of a
/// registry is said of theirs.
pub(crate) fn options(
    environment: &Environment,
    args: &RegistryArgs,
    named: &[Reference],
) -> Result<Options, Failure> {
    let either = |upper: &str, lower: &str| {
        environment.get(lower).or_else(|| environment.get(upper)).map(str::to_owned)
    };
    let mut options = Options::default();
    options.http.proxies.http = either("HTTP_PROXY", "http_proxy");
    options.http.proxies.https = either("HTTPS_PROXY", "https_proxy");
    options.http.proxies.no_proxy = either("NO_PROXY", "no_proxy");
    if let Some(file) = environment.get("SSL_CERT_FILE") {
        options.http.ca_files.push(PathBuf::from(file));
    }
    options.http.certificate_dirs = certificate_dirs(environment);
    options.hosts = hosts(environment)?;
    options.keychain = keychain(environment, args.authfile.as_deref());
    flags(args, named, &mut options)?;
    Ok(options)
}

/// What flags say of the registries of the images named.
fn flags(args: &RegistryArgs, named: &[Reference], options: &mut Options) -> Result<(), Failure> {
    if let Some(login) = &args.creds {
        let wrong = || Failure::user("`--creds` is not of the form user:password");
        let (user, password) = login.split_once(':').ok_or_else(wrong)?;
        let first = named
            .first()
            .ok_or_else(|| Failure::user("`--creds` is for the registry of an image that is named"))?;
        let secret = Secret::Password { user: user.to_owned(), password: password.to_owned() };
        options.keychain.given = Some((first.domain().to_owned(), secret));
    }
    if let Some(dir) = &args.cert_dir {
        for path in own_files(dir)? {
            match path.extension().and_then(|end| end.to_str()) {
                Some("crt") => options.http.ca_files.push(path),
                Some("cert") => options.http.identity = Some((path.clone(), path.with_extension("key"))),
                _ => {}
            }
        }
    }
    for host in &args.reach.insecure {
        options.hosts.insecure(host);
    }
    for (of, place) in &args.reach.mirrors {
        options.hosts.mirror(of, place, "the command line");
    }
    options.http.authorities.clone_from(&args.reach.authorities);
    options.http.identities.clone_from(&args.reach.identities);
    match args.tls_verify.as_deref() {
        None | Some("true" | "1") => Ok(()),
        Some("false" | "0") => {
            for name in named {
                options.hosts.insecure(name.domain());
            }
            Ok(())
        }
        Some(other) => Err(Failure::user(format!("`--tls-verify={other}` is neither true nor false"))),
    }
}

fn own_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed =
        |error: io::Error| Failure::user(format!("cannot read `--cert-dir {}`", dir.display())).cause(error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Where `certs.d` lies: Docker's and Podman's, of the person and of the machine.
fn certificate_dirs(environment: &Environment) -> Vec<PathBuf> {
    let own = config_home(environment).map(|config| [config.join("containers"), config.join("docker")]);
    let all = own.into_iter().flatten().chain(["/etc/containers", "/etc/docker"].map(PathBuf::from));
    all.map(|dir| dir.join("certs.d")).filter(|dir| dir.is_dir()).collect()
}

/// Mirrors, other places and insecure hosts: `registries.conf` as Podman reads it, Docker's `daemon.json`, and two
/// variables of ireko's own.
fn hosts(environment: &Environment) -> Result<Hosts, Failure> {
    let mut hosts = Hosts::default();
    for path in engine_files(environment) {
        if let Some(text) = read(&path, false)? {
            hosts.add_daemon_json(&path.display().to_string(), &text).map_err(broken)?;
        }
    }
    for (path, asked) in registries_conf(environment) {
        if let Some(text) = read(&path, asked)? {
            hosts.add_registries_conf(&path.display().to_string(), &text).map_err(broken)?;
        }
    }
    let list = |name: &str| {
        let text = environment.get(name).unwrap_or_default().to_owned();
        text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect::<Vec<_>>()
    };
    for host in list("IREKO_INSECURE_REGISTRIES") {
        hosts.insecure(&host);
    }
    const MIRRORS: &str = "IREKO_REGISTRY_MIRRORS";
    for mirror in list(MIRRORS) {
        let (of, place) = mirror.split_once('=').unwrap_or(("docker.io", &mirror));
        hosts.mirror(of, place, MIRRORS);
    }
    Ok(hosts)
}

fn broken(error: ireko_registry::HostsError) -> Failure {
    Failure::user(error)
        .hint("mend the file; CONTAINERS_REGISTRIES_CONF names another than the usual registries.conf")
}

fn engine_files(environment: &Environment) -> Vec<PathBuf> {
    let own = config_home(environment).map(|config| config.join("docker/daemon.json"));
    own.into_iter().chain([PathBuf::from("/etc/docker/daemon.json")]).collect()
}

/// The files in the order they count, each with whether somebody asked for it.
fn registries_conf(environment: &Environment) -> Vec<(PathBuf, bool)> {
    if let Some(path) = environment.get("CONTAINERS_REGISTRIES_CONF") {
        return vec![(PathBuf::from(path), true)];
    }
    let machine = PathBuf::from("/etc/containers");
    let own = config_home(environment).map(|config| config.join("containers"));
    let dirs: Vec<PathBuf> = [machine].into_iter().chain(own).collect();
    // The person's file stands in place of the machine's; further parts are added to either.
    let main = dirs.iter().rev().map(|dir| dir.join("registries.conf")).find(|path| path.is_file());
    let mut files: Vec<(PathBuf, bool)> = main.into_iter().map(|path| (path, false)).collect();
    for dir in dirs {
        let Ok(entries) = fs::read_dir(dir.join("registries.conf.d")) else { continue };
        let mut parts: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        parts.retain(|path| path.extension().is_some_and(|end| end == "conf"));
        parts.sort();
        files.extend(parts.into_iter().map(|path| (path, false)));
    }
    files
}

fn read(path: &Path, asked: bool) -> Result<Option<String>, Failure> {
    let failed = |error: io::Error| Failure::user(format!("cannot read `{}`", path.display())).cause(error);
    match fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_MAX => Err(failed(io::ErrorKind::FileTooLarge.into())),
        Ok(_) => fs::read_to_string(path).map(Some).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied if !asked => Ok(None),
            _ => Err(failed(error)),
        }),
        Err(error) if asked => Err(failed(error)),
        Err(_) => Ok(None),
    }
}

/// Logins. A file that was asked for is the only one; else Docker's variable and the usual files, in this order.
pub(crate) fn keychain(environment: &Environment, flag: Option<&Path>) -> Keychain {
    let variables = environment.all().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mut keychain = Keychain { environment: variables.collect(), ..Keychain::default() };
    let asked = flag.map(Path::to_owned).or_else(|| environment.get("REGISTRY_AUTH_FILE").map(PathBuf::from));
    if let Some(path) = asked {
        keychain.files.push(AuthFile { path, asked: true });
        return keychain;
    }
    const INLINE: &str = "DOCKER_AUTH_CONFIG";
    keychain.inline = environment.get(INLINE).map(|text| (INLINE.to_owned(), text.to_owned()));
    let mut usual = |path: PathBuf, asked: bool| keychain.files.push(AuthFile { path, asked });
    let docker = environment.get("DOCKER_CONFIG");
    if let Some(dir) = docker {
        usual(Path::new(dir).join("config.json"), true);
    }
    let run = match environment.get("XDG_RUNTIME_DIR") {
        Some(dir) => Path::new(dir).join("containers/auth.json"),
        None => PathBuf::from(format!("/run/containers/{}/auth.json", environment.uid())),
    };
    usual(run, false);
    if let Some(config) = config_home(environment) {
        usual(config.join("containers/auth.json"), false);
    }
    // DOCKER_CONFIG stands in place of `~/.docker`.
    if let Some(home) = environment.get("HOME").map(Path::new).filter(|_| docker.is_none()) {
        usual(home.join(".docker/config.json"), false);
    }
    // kaniko's image has it there.
    usual(PathBuf::from("/kaniko/.docker/config.json"), false);
    keychain
}

/// The file that a login is kept in.
pub(crate) fn auth_file(environment: &Environment, flag: Option<&Path>) -> Result<PathBuf, Failure> {
    let asked = flag.map(Path::to_owned).or_else(|| environment.get("REGISTRY_AUTH_FILE").map(PathBuf::from));
    let docker = environment.docker_dir().map(|dir| dir.join("config.json"));
    asked.or(docker).ok_or_else(|| {
        Failure::environment("there is no place for logins: HOME is not set").hint("give --authfile FILE")
    })
}

fn config_home(environment: &Environment) -> Option<PathBuf> {
    let own = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    own.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")))
}

#[cfg(test)]
mod tests;
