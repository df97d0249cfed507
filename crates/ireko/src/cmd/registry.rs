//! `ireko push`, `login` and `logout`.

use crate::arguments;
use crate::cli::registry::{LoginArgs, LogoutArgs, PushArgs};
use crate::cli::{Format, Global, Progress};
use crate::cmd::images::{find, find_for};
use crate::deliver::compression_of;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::places::{self, Written};
use crate::session::Session;
use crate::{eprint, print, print_json, registries, settle};
use ireko_image::{Images, PullPolicy, PushAs};
use ireko_oci::Reference;
use ireko_registry::keychain::write::Place;
use ireko_registry::{Registry, Secret};
use ireko_report::Event;
use serde_json::{Value, json};
use std::fs;
use std::io::{IsTerminal, Read};
use std::sync::Arc;

/// Docker's own registry.
const HUB: &str = "docker.io";

/// `ireko push`.
pub(crate) fn push(args: &PushArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let names = args.images.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
    let compression = arguments::compression(args.compression.as_deref(), args.compression_level)?;
    let how = PushAs { compression: compression.map(compression_of), docker_types: false };
    let platform = args.platform.as_deref().map(settle::named_platform).transpose()?;
    let options = registries::options(&environment, &args.registry, &names)?;
    if let Some(path) = &args.digestfile {
        places::check("--digestfile", path, Written::InPlace)?;
    }
    let progress = if args.quiet { Progress::Quiet } else { Progress::Auto };
    let session = Session::enter(global, environment, progress, false)?;
    let cancel = crate::signals::cancel_on_signals()?;
    let store = session.store()?;
    let registry = Arc::new(Registry::new(options));
    let aborted = registry.client().clone();
    let _stopping = cancel.on_ask(move || aborted.abort());
    let images = Images::new(Arc::clone(&store), registry, session.sink(), PullPolicy::IfMissing);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);

    let mut chosen: Vec<(ireko_store::Image, Vec<Reference>)> = Vec::new();
    for (text, name) in args.images.iter().zip(&names) {
        let all = if args.all_tags { tags_of(&store, name)? } else { vec![name.or_latest()] };
        for name in all {
            let asked = if args.all_tags { name.familiar() } else { text.clone() };
            let image = match &platform {
                Some(platform) => find_for(&store, &asked, Some(platform))?,
                None => find(&store, &asked)?,
            };
            match chosen.iter_mut().find(|(other, _)| other.id == image.id) {
                Some((_, names)) => names.push(name),
                None => chosen.push((image, vec![name])),
            }
        }
    }
    let mut rows = Vec::new();
    let mut last = None;
    for (image, names) in &chosen {
        let pushed = images.push_stored(image, names, how, threads);
        images.tell_notes();
        let pushed = pushed?;
        for name in names {
            let (digest, size) = (pushed.top.digest, pushed.top.size);
            session.sink().emit(Event::Exported {
                destination: name.to_string(),
                image: Some(image.id.to_string()),
                manifest: Some(digest.to_string()),
                bytes: pushed.sent,
            });
            rows.push(json!({"name": name.to_string(), "digest": digest.to_string(), "size": size}));
        }
        last = Some(pushed.top.digest);
    }
    session.screen.close();
    if let (Some(path), Some(digest)) = (&args.digestfile, last) {
        let text = digest.to_string();
        fs::write(path, text).map_err(|error| places::refused("--digestfile", path, &error))?;
    }
    if args.format == Format::Json {
        print_json(&Value::Array(rows));
        return Ok(());
    }
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let shown = text("name").parse::<Reference>().map_or_else(|_| text("name"), |name| name.familiar());
        print(&match args.quiet {
            true => format!("{}\n", text("name")),
            // As Docker's last line, which scripts read.
            false => format!("{shown}: digest: {} size: {}\n", text("digest"), row["size"]),
        });
    }
    Ok(())
}

/// A name to push to.
fn name(text: &str) -> Result<Reference, Failure> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let failure = Failure::user(format!("`{text}` is no name of an image: it begins with `{scheme}://`"));
        return Err(failure.hint(format!("write `{rest}`")));
    }
    let name: Reference = text.parse().map_err(|error: ireko_oci::OciError| {
        Failure::user(format!("`{text}` is no name to push to"))
            .cause(error)
            .hint("give it one: `ireko tag IMAGE host/repository:tag`, then push that")
    })?;
    match name.digest() {
        None => Ok(name),
        Some(_) => Err(Failure::user(format!("`{text}` holds a digest: what is pushed is told by its tag"))
            .hint("push the name without the digest")),
    }
}

/// All names of a repository in the store.
fn tags_of(store: &ireko_store::Store, name: &Reference) -> Result<Vec<Reference>, Failure> {
    if name.tag().is_some() {
        let failure = Failure::user(format!("`{}` holds a tag, and `--all-tags` means all", name.familiar()));
        return Err(failure.hint(format!("write `{}`", name.familiar_name())));
    }
    let names = store.images()?.into_iter().flat_map(|row| row.names);
    let names = names.filter_map(|text| text.parse::<Reference>().ok());
    let all: Vec<Reference> = names.filter(|it| it.name() == name.name() && it.tag().is_some()).collect();
    if all.is_empty() {
        return Err(Failure::user(format!("the store has no tag of `{}`", name.familiar_name()))
            .hint("`ireko images` lists what is there"));
    }
    Ok(all)
}

/// The registry that was named, as files and references call it.
fn server(text: Option<&str>) -> Result<String, Failure> {
    let text = text.unwrap_or(HUB);
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let host = rest.split('/').next().unwrap_or_default();
    let domain = match host {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => HUB,
        other => other,
    };
    match format!("{domain}/x").parse::<Reference>() {
        Ok(name) if name.domain() == domain => Ok(domain.to_owned()),
        _ => Err(Failure::user(format!("`{text}` is no registry"))
            .hint("write its host, with the port where it has one: `registry.example:5000`")),
    }
}

/// A repository of a registry that has no login of its own.
fn somewhere_at(domain: &str) -> Result<Reference, Failure> {
    format!("{domain}/any-repository-of-it").parse().map_err(|error: ireko_oci::OciError| {
        Failure::user(format!("`{domain}` is no registry")).cause(error)
    })
}

/// `ireko login`.
pub(crate) fn login(args: &LoginArgs, environment: &Environment) -> Result<(), Failure> {
    let domain = server(args.server.as_deref())?;
    let named = somewhere_at(&domain)?;
    let mut options = registries::options(environment, &args.registry, std::slice::from_ref(&named))?;
    if args.get_login {
        return get_login(&options, &named, &domain);
    }
    let (user, password) = ask(args, &domain)?;
    let secret = match user.as_str() {
        "<token>" => Secret::Refresh(password),
        _ => Secret::Password { user, password },
    };
    let keychain = options.keychain.clone();
    options.keychain.given = Some((domain.clone(), secret.clone()));
    let cancel = crate::signals::cancel_on_signals()?;
    let registry = Registry::new(options);
    let aborted = registry.client().clone();
    let _stopping = cancel.on_ask(move || aborted.abort());
    registry.check_login(&domain)?;
    let path = registries::auth_file(environment, args.registry.authfile.as_deref())?;
    // What `--creds` gave is for this command alone.
    let keychain = ireko_registry::Keychain { given: None, ..keychain };
    for place in keychain.keep(&path, &named, &secret, &|| cancel.is_asked())? {
        eprint(&match place {
            Place::File(path) => format!(
                "note: the login is in {}, for anybody to read who can read that file; a credential helper keeps it better\n",
                path.display()
            ),
            Place::Helper(program) => format!("note: {program} keeps the login\n"),
        });
    }
    // Docker's words, which scripts look for.
    print("Login Succeeded\n");
    Ok(())
}

fn get_login(options: &ireko_registry::Options, named: &Reference, domain: &str) -> Result<(), Failure> {
    let found = options.keychain.login(named, &|| false)?;
    match found.map(|login| login.secret) {
        Some(Secret::Password { user, .. }) => print(&format!("{user}\n")),
        Some(Secret::Refresh(_) | Secret::Bearer(_)) => print("<token>\n"),
        None => return Err(Failure::user(format!("nobody is logged in at `{domain}`"))),
    }
    Ok(())
}

/// Name and password: from flags, standard input, or the terminal.
fn ask(args: &LoginArgs, domain: &str) -> Result<(String, String), Failure> {
    if let Some((user, password)) = args.registry.creds.as_deref().and_then(|text| text.split_once(':')) {
        return Ok((user.to_owned(), password.to_owned()));
    }
    if args.password.is_some() && args.password_stdin {
        return Err(Failure::user("`--password` and `--password-stdin` are both given").hint("leave one out"));
    }
    let is_terminal = std::io::stdin().is_terminal();
    let user = match &args.username {
        Some(user) => user.clone(),
        None if args.password_stdin => {
            return Err(Failure::user("`--password-stdin` needs a name").hint("give -u NAME"));
        }
        None if is_terminal => line(&format!("Username at {domain}: "), true)?,
        None => {
            return Err(Failure::user("there is no terminal to ask for a name and a password")
                .hint("give -u NAME, and the password by --password-stdin"));
        }
    };
    let password = match &args.password {
        Some(password) => {
            eprint(
                "note: others see a password given by -p in the list of processes; --password-stdin hides it\n",
            );
            password.clone()
        }
        None if args.password_stdin => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map_err(|error| {
                Failure::environment("cannot read the password from standard input").cause(error)
            })?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None if is_terminal => line("Password: ", false)?,
        None => {
            return Err(
                Failure::user("there is no terminal to ask for a password").hint("give --password-stdin")
            );
        }
    };
    if user.is_empty() || password.is_empty() {
        return Err(Failure::user("a name and a password are needed, and one is empty"));
    }
    Ok((user, password))
}

/// A line that is typed; unseen where it is secret.
fn line(prompt: &str, seen: bool) -> Result<String, Failure> {
    eprint(prompt);
    let text = crate::terminal::line(seen)
        .map_err(|error| Failure::environment("cannot read from the terminal").cause(error))?;
    if !seen {
        eprint("\n");
    }
    Ok(text)
}

/// `ireko logout`.
pub(crate) fn logout(args: &LogoutArgs, environment: &Environment) -> Result<(), Failure> {
    let domain = server(args.server.as_deref())?;
    let path = registries::auth_file(environment, args.authfile.as_deref())?;
    let keychain = registries::keychain(environment, args.authfile.as_deref());
    let erased = keychain.forget(&path, &somewhere_at(&domain)?, &|| false)?;
    print(&match erased.is_empty() {
        false => format!("Removed the login for {domain}\n"),
        true => format!("Not logged in to {domain}\n"),
    });
    Ok(())
}
