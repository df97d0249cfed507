//! The engines of this machine, as the environment tells of them.

use crate::environment::Environment;
use ireko_engine::{Surroundings, named, usual};
use ireko_image::Engines;
use std::path::PathBuf;

/// Engines that images may come from and go to. What is said of them wrongly is told when one is needed.
pub(crate) fn engines(environment: &Environment) -> Engines {
    let around = surroundings(environment);
    match named(&around) {
        Ok(Some(address)) => Engines::named(address),
        Ok(None) => Engines::new(usual(&around)),
        Err(error) => Engines::unusable(error),
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
        runtime_dir: run,
    }
}
