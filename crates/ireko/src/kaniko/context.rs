//! Where kaniko's context and Dockerfile are, in ireko's words.

use super::flags::Given;
use crate::environment::Environment;
use crate::failure::Failure;
use std::path::Path;

/// Where kaniko looks where nothing is said.
const WORKSPACE: &str = "/workspace/";

/// What is built.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// As `build` takes it.
    pub(super) context: String,
    /// The Dockerfile, where it must be said.
    pub(super) file: Option<String>,
    /// A secret for git.
    pub(super) secret: Option<String>,
}

/// Reads `--context` and what belongs to it.
pub(super) fn place(given: &Given, environment: &Environment) -> Result<Place, Failure> {
    let context = given.last("context").filter(|context| !context.is_empty()).unwrap_or(WORKSPACE);
    let sub = given.last("context-sub-path").unwrap_or_default().trim_matches('/');
    let file = given.last("dockerfile").filter(|file| !file.is_empty());
    if let Some(url) = file.filter(|file| file.starts_with("http://") || file.starts_with("https://")) {
        return Err(Failure::user(format!("`--dockerfile {url}`: a URL is not supported"))
            .hint("fetch it first: `curl -o Dockerfile …`"));
    }
    let elsewhere = |context: String| {
        if sub.is_empty() {
            return Ok(Place { context, file: file.map(str::to_owned), secret: None });
        }
        Err(Failure::user("`--context-sub-path` is for directories and git repositories")
            .hint("unpack the archive, and give `--context dir://DIR`"))
    };
    match context.split_once("://") {
        None => directory(context, sub, file),
        Some(("dir", dir)) => directory(dir, sub, file),
        Some(("tar", "stdin")) => elsewhere("-".to_owned()),
        Some(("tar", _)) => elsewhere(context.to_owned()),
        Some(("git", rest)) => git(rest, sub, given, environment, file),
        Some(("https", rest)) if is_azure(rest) => Err(bucket("Azure's blob storage")),
        Some(("https" | "http", _)) => elsewhere(context.to_owned()),
        Some(("s3", _)) => Err(bucket("an S3 bucket")),
        Some(("gs", _)) => Err(bucket("a bucket of Google's cloud storage")),
        Some((scheme, _)) => Err(Failure::user(format!("a context from `{scheme}://` is not supported"))
            .hint("use dir://, tar://, git:// or https://")),
    }
}

fn bucket(what: &str) -> Failure {
    Failure::user(format!("a context from {what} is not supported"))
        .hint("fetch the archive with the storage's own program, and give `--context tar://FILE`")
}

/// The hosts of Azure's storage, as kaniko knows them.
fn is_azure(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    host.contains(".blob.core.") || host.contains(".blob.storage.azure.")
}

/// A Dockerfile is looked for from here, then in the context.
fn directory(dir: &str, sub: &str, file: Option<&str>) -> Result<Place, Failure> {
    let dir = if sub.is_empty() { dir.to_owned() } else { format!("{}/{sub}", dir.trim_end_matches('/')) };
    let name = file.unwrap_or("Dockerfile");
    let inside = Path::new(&dir).join(name);
    let file = match (Path::new(name).exists(), inside.exists(), file) {
        (true, ..) => Some(name.to_owned()),
        (false, true, _) => Some(inside.display().to_string()),
        (false, false, None) => None,
        (false, false, Some(_)) => {
            return Err(Failure::user(format!(
                "there is no Dockerfile `{name}`, neither here nor in `{dir}`"
            ))
            .hint("name it with --dockerfile, from here or from the context"));
        }
    };
    Ok(Place { context: dir, file, secret: None })
}

/// `host/path.git#ref#commit`, with what `--git` says of it.
fn git(
    rest: &str,
    sub: &str,
    given: &Given,
    environment: &Environment,
    file: Option<&str>,
) -> Result<Place, Failure> {
    let (mut branch, mut submodules) = (None, false);
    for option in given.all("git").iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()) {
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| Failure::user(format!("`--git {option}` is not of the form name=value")))?;
        let is_on = matches!(value, "true" | "1");
        match name {
            "branch" => branch = Some(value).filter(|branch| !branch.is_empty()),
            "recurse-submodules" => submodules = is_on,
            // How much of the history is fetched makes no difference to the files.
            "single-branch" | "depth" => {}
            "insecure-skip-tls" if !is_on => {}
            "insecure-skip-tls" => {
                return Err(Failure::user("`--git insecure-skip-tls=true` is not supported")
                    .hint("add the server's authority to those of this machine"));
            }
            _ => {
                return Err(Failure::user(format!("`--git {option}` is unknown"))
                    .hint("use branch, recurse-submodules, single-branch or depth"));
            }
        }
    }
    let mut parts = rest.splitn(3, '#');
    let url = parts.next().unwrap_or_default().trim_end_matches('/');
    let reference = parts.next().filter(|text| !text.is_empty());
    let commit = parts.next().filter(|text| !text.is_empty());
    let scheme = match environment.get("GIT_PULL_METHOD") {
        Some("http") => "http",
        _ => "https",
    };
    let end = if url.ends_with(".git") { "" } else { ".git" };
    let mut secret = None;
    let mut login = String::new();
    if !url.split('/').next().unwrap_or_default().contains('@') {
        match (environment.get("GIT_TOKEN"), environment.get("GIT_USERNAME"), environment.get("GIT_PASSWORD"))
        {
            (Some(_), ..) => secret = Some("id=GIT_AUTH_TOKEN,env=GIT_TOKEN".to_owned()),
            (None, Some(user), word) => {
                let word = word.map(|word| format!(":{}", encoded(word))).unwrap_or_default();
                login = format!("{}{word}@", encoded(user));
            }
            (None, None, Some(_)) => secret = Some("id=GIT_AUTH_TOKEN,env=GIT_PASSWORD".to_owned()),
            (None, None, None) => {}
        }
    }
    let query = if submodules { "" } else { "?submodules=0" };
    let what = commit.or(branch).or(reference).unwrap_or_default();
    let sub = if sub.is_empty() { String::new() } else { format!(":{sub}") };
    let fragment = if what.is_empty() && sub.is_empty() { String::new() } else { format!("#{what}{sub}") };
    let context = format!("{scheme}://{login}{url}{end}{query}{fragment}");
    Ok(Place { context, file: file.map(str::to_owned), secret })
}

/// A part of a URL's login.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
