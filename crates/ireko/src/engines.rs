//! The engines of this machine, as the environment tells of them.

use crate::arguments::{Form, Output};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::session::Session;
use ireko_engine::{Address, Life, Program, Programs, Surroundings, named, usual};
use ireko_image::Engines;
use ireko_sys::{Line, Outside};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Engines that images may come from and go to. What is said of them wrongly is told when one is needed.
pub(crate) fn engines(session: &Session) -> Engines {
    let around = surroundings(&session.environment);
    let engines = match named(&around) {
        Ok(Some(address)) => Engines::named(address),
        Ok(None) => Engines::new(usual(&around)),
        Err(error) => Engines::unusable(error),
    };
    let programs = |outside: &Arc<Outside>| Arc::new(OutsidePrograms(Arc::clone(outside))) as _;
    engines.with_programs(session.outside.as_ref().map(programs))
}

/// The environment with the one engine that outputs name by a Docker context, as buildx has it.
pub(crate) fn chosen(environment: Environment, outputs: &[Output]) -> Result<Environment, Failure> {
    let mut engines = outputs.iter().filter(|output| output.form == Form::Engine);
    let Some(first) = engines.next() else { return Ok(environment) };
    if let Some(other) = engines.find(|other| other.context != first.context) {
        let named = |output: &Output| match &output.context {
            Some(name) => format!("the Docker context `{name}`"),
            None => "the engine in use".to_owned(),
        };
        let message = format!("two outputs are for two engines: {} and {}", named(first), named(other));
        return Err(Failure::user(message).hint("build once for each: nothing runs twice"));
    }
    Ok(match &first.context {
        Some(name) => environment.with("DOCKER_HOST", "").with("DOCKER_CONTEXT", name),
        None => environment,
    })
}

/// What starts `ssh` outside of the sandbox level, where somebody named an engine behind it.
pub(crate) fn outside(environment: &Environment) -> Result<Option<Arc<Outside>>, ireko_sys::Error> {
    match named(&surroundings(environment)) {
        Ok(Some(Address::Ssh(_))) => Outside::start().map(Arc::new).map(Some),
        _ => Ok(None),
    }
}

#[derive(Debug)]
struct OutsidePrograms(Arc<Outside>);

impl Programs for OutsidePrograms {
    fn start(&self, program: &str, arguments: &[OsString]) -> io::Result<Program> {
        let started = self.0.run(OsStr::new(program), arguments)?;
        let (said, life) = (Box::new(started.said), Box::new(OutsideLife(started.line)));
        Ok(Program { stream: started.stream, said, life })
    }
}

struct OutsideLife(Line);

impl Life for OutsideLife {
    fn code(&self, patience: Duration) -> io::Result<u8> {
        self.0.code(patience)
    }
}

fn surroundings(environment: &Environment) -> Surroundings {
    let text = |name: &str| environment.get(name).map(str::to_owned);
    let path = |name: &str| environment.get(name).map(PathBuf::from);
    let run = path("XDG_RUNTIME_DIR").or_else(|| {
        let usual = PathBuf::from(format!("/run/user/{}", environment.uid()));
        usual.is_dir().then_some(usual)
    });
    Surroundings {
        docker_host: text("DOCKER_HOST"),
        docker_context: text("DOCKER_CONTEXT"),
        docker_config: environment.docker_dir(),
        docker_cert_path: path("DOCKER_CERT_PATH"),
        docker_tls: environment.get("DOCKER_TLS_VERIFY").or_else(|| environment.get("DOCKER_TLS")).is_some(),
        container_host: text("CONTAINER_HOST"),
        container_sshkey: text("CONTAINER_SSHKEY"),
        container_connection: text("CONTAINER_CONNECTION"),
        connection_files: connection_files(environment),
        runtime_dir: run,
    }
}

/// Where Podman keeps the names of engines.
fn connection_files(environment: &Environment) -> Vec<PathBuf> {
    let path = |name: &str| environment.get(name).map(PathBuf::from);
    let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
    let own = |name: &str| config.as_ref().map(|dir| dir.join("containers").join(name));
    let json = path("PODMAN_CONNECTIONS_CONF").or_else(|| own("podman-connections.json"));
    let conf = match path("CONTAINERS_CONF") {
        Some(only) => vec![only],
        None => own("containers.conf")
            .into_iter()
            .chain([PathBuf::from("/etc/containers/containers.conf")])
            .collect(),
    };
    json.into_iter().chain(conf).collect()
}
